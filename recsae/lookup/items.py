"""All that the store knows of one item: what it is, and the latents that fire at it. It knows tables."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsae.errors import BadInput
from recsae.lookup.dictionary import names
from recsae.lookup.served import Row, Served, among

NEAR = 5
"""Items that are named to whoever asked for one that is not there, or for several at once."""


@dataclass(frozen=True)
class ItemView:
    item: Row
    """Its row of ITEMS."""
    latents: list[Row]
    """Those that fire at it, by total strength: `latent`, `name`, `interpretable`, `activations`, `strength`, and of
    those of which it is a telling item `lift` and its `rank_lift`."""


def item(served: Served, asked: str) -> ItemView:
    """Named as `find_item` has it."""
    row = find_item(served, asked)
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


def find_item(served: Served, asked: str) -> Row:
    """The row of ITEMS, by id, title, or a part of a title that no other has, in any case.

    Raises BadInput with the items whose id or title is near.
    """
    title = pc.field("title")
    for where in (
        pc.field("item_id") == pa.scalar(asked),
        pc.utf8_lower(title) == pa.scalar(asked.lower()),
        pc.match_substring(title, asked, ignore_case=True) if asked else pc.scalar(False),
    ):
        rows = served.rows("ingest", "items.parquet", None, where)
        if len(rows) == 1:
            return rows[0]
        if rows:
            rows.sort(key=lambda row: -row["popularity"])
            more = f" and {len(rows) - NEAR:,} more" if len(rows) > NEAR else ""
            raise BadInput(f"item {asked}: {len(rows):,} items are called so: {_told(rows)}{more}; give the id of one")
    near = _near(served, asked)
    raise BadInput(
        f"item {asked}: the catalogue has no such item, or a filter left it out"
        + (f"; near it: {_told(near)}" if near else "; give another id or title")
    )


def _near(served: Served, asked: str) -> list[Row]:
    """Titles that bear all words of what was asked, else any long one of them; the most popular first."""
    words = [word for word in asked.split() if len(word) > 2]
    alike = [pc.match_substring(pc.field("title"), word, ignore_case=True) for word in words]
    for wanted in (_all(alike), _any(alike)):
        rows = served.rows("ingest", "items.parquet", ("item_id", "title", "popularity"), wanted) if words else []
        if rows:
            return sorted(rows, key=lambda row: -row["popularity"])
    return []


def _all(conditions: list[pc.Expression]) -> pc.Expression:
    found = pc.scalar(True)
    for condition in conditions:
        found = found & condition
    return found


def _any(conditions: list[pc.Expression]) -> pc.Expression:
    found = pc.scalar(False)
    for condition in conditions:
        found = found | condition
    return found


def _told(rows: list[Row]) -> str:
    return ", ".join(f"{row['item_id']} ({row['title'][:60]})" for row in rows[:NEAR])
