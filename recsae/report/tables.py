"""Tables that the report shows where a run has them, and the titles of items, each of which travels into the page once.

It knows what a stage committed and nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.store.run_store import Committed
from recsae.store.tables import among, table_if_there

TITLE_LIMIT = 100
"""Letters of a title in the page."""


def read_if_there(
    inputs: Mapping[str, Committed],
    stage: str,
    name: str,
    columns: Sequence[str],
    where: pc.Expression | None = None,
) -> pa.Table | None:
    """The `columns` of the rows that `where` admits, read without holding the others; None where there is no row.

    A run may lack the stage, the file or any row: activations may be given, a catalogue may bear no attributes, and no
    latent need be scored.
    """
    table = table_if_there(inputs.get(stage), name, columns, where)
    return table if table is not None and table.num_rows else None


class Titles:
    """Titles and ids of the items that the page names. Everything else refers to them by number."""

    def __init__(self) -> None:
        self._number: dict[tuple[str, str], int] = {}

    def number(self, item_id: str, title: str) -> int:
        shown = title if len(title) <= TITLE_LIMIT else title[: TITLE_LIMIT - 1] + "…"
        return self._number.setdefault((item_id, shown), len(self._number))

    def as_json(self) -> dict[str, Any]:
        """`{"ids": [...], "titles": [...]}`, by number."""
        return {"ids": [item_id for item_id, _ in self._number], "titles": [title for _, title in self._number]}

    def linked(self, viewed: Mapping[str, int]) -> dict[str, Any]:
        """The same with `views`: the number under which the report shows each item, by item_id in `viewed`, or None."""
        return {**self.as_json(), "views": [viewed.get(item_id) for item_id, _ in self._number]}


def number_items(inputs: Mapping[str, Committed], items: Iterable[int] | pa.Array, titles: Titles) -> dict[int, int]:
    """By item_idx the number under which `titles` knows the item; items that ingest does not know are left out."""
    found = read_if_there(inputs, "ingest", "items.parquet", ["item_idx", "item_id", "title"], among("item_idx", items))
    if found is None:
        return {}
    columns = (found.column(name).to_pylist() for name in ("item_idx", "item_id", "title"))
    return {item: titles.number(item_id, title) for item, item_id, title in zip(*columns, strict=True)}
