"""The strongest latents of the most popular items, as positional arrays that items.js reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from recsae.report.tables import Titles, number_items, read_optional
from recsae.store.run_store import Committed
from recsae.store.tables import among
from recsae.text.formatting import short

MAX_SHOWN = 2000
"""Number of items that can be looked up."""
LATENTS = 10
"""Number of latents per item."""


def item_details(inputs: Mapping[str, Committed], titles: Titles) -> dict[str, Any]:
    """`{"latents": [[title number, latent, activations, strength, latent, …], …], "of": items in the catalogue,
    "cut": whether only the MAX_SHOWN most popular were considered}`.

    The most popular items come first. Empty if no item is known to activate a latent.
    """
    known = read_optional(inputs, "ingest", "items.parquet", ["item_idx", "popularity"])
    if known is None:
        return {}
    order = [("popularity", "descending"), ("item_idx", "ascending")]
    popular = known.take(pc.sort_indices(known, order)[:MAX_SHOWN]).column("item_idx")
    where = among("item_idx", popular.combine_chunks()) & (pc.field("rank") < LATENTS)
    columns = ["item_idx", "rank", "latent", "activations", "strength"]
    table = read_optional(inputs, "evidence", "item_latents.parquet", columns, where)
    if table is None:
        return {}
    found: dict[int, list[Any]] = {}
    table = table.sort_by([("item_idx", "ascending"), ("rank", "ascending")])
    for item, _, *figures, strength in zip(*(column.to_pylist() for column in table.columns), strict=True):
        found.setdefault(item, []).extend([*figures, short(strength, 3)])
    numbers = number_items(inputs, popular.combine_chunks(), titles)
    shown = [[numbers[item], *found[item]] for item in popular.to_pylist() if item in found]
    return {"latents": shown, "of": known.num_rows, "cut": known.num_rows > MAX_SHOWN} if shown else {}
