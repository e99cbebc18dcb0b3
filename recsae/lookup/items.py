"""One item in the store's tables: what it is, and the latents that fire at it."""

from __future__ import annotations

from dataclasses import dataclass

from recsae.lookup.dictionary import names
from recsae.lookup.named import find_item
from recsae.lookup.served import Row, Served
from recsae.store.tables import among


@dataclass(frozen=True)
class ItemView:
    item: Row
    """Its row of ITEMS."""
    latents: list[Row]
    """Latents that fire at it, by total strength: `latent`, `name`, `interpretable`, `activations`, `strength`, and, if
    it is among the latent's items by lift, `lift` and `rank_lift`."""


def item(served: Served, query: str) -> ItemView:
    """The item that `find_item` finds. Raises BadInput as it does."""
    row = find_item(served.made["ingest"], query)
    own = among("item_idx", [row["item_idx"]])
    by_latent: dict[int, Row] = {}
    for name in ("item_latents.parquet", "latent_items.parquet"):
        for found in served.rows("evidence", name, None, own):
            by_latent.setdefault(found["latent"], {}).update(found)
    known = names(served, set(by_latent))
    columns = ("latent", "activations", "strength", "lift", "rank_lift")
    latents = [
        {
            **{column: found.get(column) for column in columns},
            **{column: known[latent][column] for column in ("name", "interpretable")},
        }
        for latent, found in by_latent.items()
        if latent in known
    ]
    return ItemView(row, sorted(latents, key=lambda one: (-one["strength"], one["latent"])))
