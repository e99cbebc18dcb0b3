"""Reads tables that a run may lack, and collects item titles so that each is embedded in a page only once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.store.run_store import Committed
from recsae.store.tables import among, table_if_there

TITLE_LIMIT = 100
"""Maximum length of a title in a page, in characters."""


def read_optional(
    inputs: Mapping[str, Committed],
    stage: str,
    name: str,
    columns: Sequence[str],
    where: pc.Expression | None = None,
) -> pa.Table | None:
    """The `columns` of the rows that match `where`, filtered while reading; None if there are none.

    The stage, the file or the rows may be missing: activations may be given, a catalogue may have no attributes, and
    there may be no scored latent.
    """
    table = table_if_there(inputs.get(stage), name, columns, where)
    return table if table is not None and table.num_rows else None


class Titles:
    """Titles and ids of the items on a page; everything else refers to them by number."""

    def __init__(self) -> None:
        self._number: dict[tuple[str, str], int] = {}

    def number(self, item_id: str, title: str) -> int:
        shortened = title if len(title) <= TITLE_LIMIT else title[: TITLE_LIMIT - 1] + "…"
        return self._number.setdefault((item_id, shortened), len(self._number))

    def as_json(self) -> dict[str, Any]:
        """`{"ids": [...], "titles": [...]}`, by number."""
        return {"ids": [item_id for item_id, _ in self._number], "titles": [title for _, title in self._number]}

    def linked(self, item_views: Mapping[str, int]) -> dict[str, Any]:
        """The same with `views`: the number of each item's view in the report (`item_views` by item_id), or None."""
        return {**self.as_json(), "views": [item_views.get(item_id) for item_id, _ in self._number]}


def number_items(inputs: Mapping[str, Committed], items: Iterable[int] | pa.Array, titles: Titles) -> dict[int, int]:
    """For each item_idx, the number of the item in `titles`; items unknown to ingest are left out."""
    found = read_optional(inputs, "ingest", "items.parquet", ["item_idx", "item_id", "title"], among("item_idx", items))
    if found is None:
        return {}
    columns = (found.column(name).to_pylist() for name in ("item_idx", "item_id", "title"))
    return {item: titles.number(item_id, title) for item, item_id, title in zip(*columns, strict=True)}
