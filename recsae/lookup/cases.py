"""Cases of the evidence with their context: the item that the view shows, its title, the user's history, the verdict.

Targets are never read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.data.chunks import chunk_of
from recsae.lookup.served import Row, Served
from recsae.schemas.base import SPLITS
from recsae.store.tables import among


class NamedItem(NamedTuple):
    """An item's external id and title."""

    item_id: str
    title: str


def items(served: Served, wanted: Iterable[int | None]) -> dict[int, NamedItem]:
    """Items by item_idx; nulls in `wanted` are skipped."""
    known = {item for item in wanted if item is not None}
    rows = served.rows("ingest", "items.parquet", ("item_idx", "item_id", "title"), among("item_idx", known))
    return {row["item_idx"]: NamedItem(row["item_id"], row["title"]) for row in rows}


def user_ids(served: Served, wanted: Iterable[int]) -> dict[int, str]:
    """External user ids by user_idx."""
    rows = served.rows("ingest", "users.parquet", ("user_idx", "user_id"), among("user_idx", wanted))
    return {row["user_idx"]: row["user_id"] for row in rows}


def events(served: Served, users: Collection[int]) -> dict[int, list[Row]]:
    """All events of each of these users, in order: rows of `position`, `item_idx`, `timestamp` and `split`.

    Reads only the chunks these users are in, and keeps only their rows.
    """
    ingested = served.made["ingest"]
    found: dict[int, list[Row]] = {user: [] for user in users}
    columns = ("user_idx", "position", "item_idx", "timestamp")
    for chunk in sorted(set(chunk_of(ingested, np.array(sorted(users), dtype=np.int64)).tolist())):
        for split in SPLITS:
            name = f"interactions/{split}/chunk-{chunk:05d}.parquet"
            for row in served.rows("ingest", name, columns, among("user_idx", users)):
                found[row.pop("user_idx")].append({**row, "split": split})
    for rows in found.values():
        rows.sort(key=lambda row: row["position"])
    return found


def verdicts(served: Served, concepts: Iterable[str], wanted: Iterable[int]) -> dict[tuple[str, int], float]:
    """The language model's values by concept and item, in nats; pairs it was not asked, or that failed, are absent."""
    where = among("concept", concepts, pa.string()) & among("item_idx", wanted) & pc.field("value").is_valid()
    rows = served.rows("scores", "verdicts.parquet", ("concept", "item_idx", "value"), where)
    return {(row["concept"], row["item_idx"]): row["value"] for row in rows if np.isfinite(row["value"])}


def centres(served: Served, latents: Iterable[int]) -> dict[int, float]:
    """By latent, the threshold above which the language model's verdict is yes; fitted on select users."""
    where = among("latent", latents) & (pc.field("part") == "score") & (pc.field("judge") == "llm")
    where = where & (pc.field("control") == "none") & pc.field("centre").is_valid()
    rows = served.rows("scores", "scores.parquet", ("latent", "centre"), where)
    return {row["latent"]: row["centre"] for row in rows}


def says_yes(known: Mapping[tuple[str, int], float], concept: str, item: int, centre: float | None) -> bool | None:
    """The verdict on one pair; None if the pair has no value or the latent no threshold."""
    value = known.get((concept, item))
    return None if value is None or centre is None else value > centre
