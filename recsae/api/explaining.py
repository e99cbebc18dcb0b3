"""Explanations of one user in this process, as a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recsae.api.models import recommender_of, stage
from recsae.errors import BadInput
from recsae.explain.many import ExplanationRequest, Names, explain_one, rows
from recsae.lookup.named import find_item, find_user

if TYPE_CHECKING:
    from recsae.api.run import Run


def explain(run: Run, user: str, item: str | None, k: int, concepts: int) -> pd.DataFrame:
    """One row an item; see Run.explain."""
    for name, number in (("k", k), ("concepts", concepts)):
        if number < 1:
            raise BadInput(f"{name} = {number}: give at least 1")
    sae = stage(run, "sae").data.child("model")
    ingested, names = stage(run, "ingest"), Names.read(stage(run, "concepts"), sae)
    config = run.config
    asked = ExplanationRequest(
        ingested, recommender_of(run), sae, config.probe.site, names, concepts, config.seed, config.resources.device
    )
    item_BT = None if item is None else np.array([[find_item(ingested, item)["item_idx"]]])
    found, _ = explain_one(asked, find_user(ingested, user)["user_idx"], item_BT, k)
    items = ingested.read_table("items.parquet", ["item_id", "title"])
    told = rows(found, asked, np.array([user], dtype=object), items["item_id"]).to_pandas()
    titles = items["title"].take(found.item_BT[found.item_BT >= 0]).to_pandas()
    told.insert(told.columns.get_loc("item_id") + 1, "title", titles)
    return told  # type: ignore[no-any-return]
