"""Rows of the users page: for a seeded sample of score users, their history, active latents and recommendations, with
each score decomposed into a sum over latents.

Shape suffixes: see explain/explainer.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from recsae.config.schema import Config
from recsae.data.chunks import chunk_of, read_chunk
from recsae.errors import BadInput
from recsae.explain.explainer import Explanations
from recsae.explain.many import ExplanationRequest, Names, strongest
from recsae.explain.own import carried
from recsae.report.tables import Titles, number_items, read_optional
from recsae.stats.sampling import draw
from recsae.steering.user_batches import Present, batches
from recsae.store.run_store import Committed
from recsae.store.tables import among
from recsae.text.formatting import short

USERS = 40
HISTORY = 20
"""Maximum length of the history, latest events."""
LATENTS = 6
"""Latents per recommended item, with the largest own contribution."""


def user_rows(config: Config, inputs: Mapping[str, Committed], titles: Titles) -> list[dict[str, Any]]:
    """Per user `{"id", "events", "history": [title numbers, oldest first], "active": [[latent, activation], …],
    "items": [[title number, score, average item's score, [latent, own, …], others' own, error's and rest's own,
    everyone], …], "carried": [named, unnamed, error and rest]}`: an item's score beyond the average item's is the sum
    of what latents, error and rest own and what everyone gets; `carried` are shares of what is the user's own over all
    items.

    Empty without a model or without score users. `active` is missing if the probe is on the item side, where every
    item has latents of its own.
    """
    if config.recommender.kind == "given":
        return []
    table = read_optional(inputs, "ingest", "users.parquet", ["user_idx"], pc.field("part") == "score")
    if table is None or not inputs["sae"].files("model/"):
        return []
    sampled = np.array(draw(table["user_idx"].to_numpy(), USERS, config.seed), dtype=np.int64)
    columns = ["user_idx", "user_id", "events"]
    known = read_optional(inputs, "ingest", "users.parquet", columns, among("user_idx", sampled.tolist()))
    facts = {row["user_idx"]: row for row in known.to_pylist()} if known is not None else {}
    sae = inputs["sae"].data.child("model")
    names = Names.read(inputs["concepts"], sae)
    asked = ExplanationRequest(
        inputs["ingest"],
        inputs["recommender"],
        sae,
        config.probe.site,
        names,
        LATENTS,
        config.seed,
        config.resources.device,
    )
    explainer = asked.explainer()
    found: list[dict[str, Any]] = []
    chunks = chunk_of(asked.ingested, sampled)
    for number in np.unique(chunks).tolist():
        chunk = read_chunk(asked.ingested, number)
        for present in batches(chunk, sampled[chunks == number], explainer.model, asked.device):
            try:
                explained = explainer(present)
            except BadInput:  # no gradient flows through the layers after the site
                return []
            found += _batch_rows(explained, present, facts, config.probe.site == "item")
    numbers = number_items(inputs, sorted({item for user in found for item in user["seen"] + user["ranked"]}), titles)
    return [_numbered(user, numbers) for user in found]


def _batch_rows(
    found: Explanations, present: Present, facts: Mapping[int, Mapping[str, Any]], of_items: bool
) -> Iterator[dict[str, Any]]:
    """Yields the rows of a batch of users, with items as item_idx."""
    place_BTN, own = strongest(found, LATENTS), found.own
    for row, user in enumerate(found.user_B.tolist()):
        items = []
        for column in np.flatnonzero(found.item_BT[row] >= 0).tolist():
            at, place_N = (row, column), place_BTN[row, column]
            place_N = place_N[place_N >= 0]
            listed = [
                figure
                for place in place_N.tolist()
                for figure in (
                    int(found.latent_BTK[row, column, place]),
                    short(float(own.contribution_BTK[row, column, place]), 3),
                )
            ]
            of_latents = own.named_BT[at] + own.unnamed_BT[at] - own.contribution_BTK[at][place_N].sum()
            score, average = (float(of.score_BT[at]) for of in (found.item, found.average))
            parts = of_latents, own.error_BT[at] + own.rest_BT[at], own.everyone_BT[at]
            items.append([short(score), short(average), listed, *(short(float(figure), 3) for figure in parts)])
        active = {} if of_items else _active(found, row)
        ranked = found.item_BT[row][found.item_BT[row] >= 0].tolist()
        yield {
            "id": facts[user]["user_id"],
            "events": facts[user]["events"],
            "seen": present.seen[row][-HISTORY:].tolist(),
            "ranked": ranked,
            "items": items,
            "carried": [short(share, 3) for share in carried(own, row)],
            **active,
        }


def _active(found: Explanations, row: int) -> dict[str, Any]:
    """The latents of the user's vector, strongest first."""
    if found.latent_BTK.shape[1] == 0:
        return {}
    latent_K, value_K = found.latent_BTK[row, 0], found.activation_BTK[row, 0]
    order = np.argsort(-value_K, kind="stable")
    return {"active": [[int(latent_K[k]), short(float(value_K[k]), 3)] for k in order.tolist() if latent_K[k] >= 0]}


def _numbered(user: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    row = {key: value for key, value in user.items() if key not in ("seen", "ranked")}
    items = [[numbers[item], *row] for item, row in zip(user["ranked"], user["items"], strict=True)]
    return {**row, "history": [numbers[item] for item in user["seen"]], "items": items}
