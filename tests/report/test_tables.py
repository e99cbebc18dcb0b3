"""Tables that a run may lack, and titles that travel once."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from recsae.report.tables import TITLE_LIMIT, Titles, number_items, read_optional
from recsae.store.filesystem import Folder
from recsae.store.tables import among
from tests.report.concepts_table import HOSTILE
from tests.report.made_page import METRICS, committed
from tests.report.made_tables import items


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    inputs = committed(Folder(str(tmp_path)), METRICS, {("ingest", "items.parquet"): items()})
    assert read_optional(inputs, "statistics", "items.parquet", ["item_id"]) is None
    assert read_optional(inputs, "evidence", "items.parquet", ["item_id"]) is None
    assert read_optional(inputs, "ingest", "items.parquet", ["item_id"], pc.field("popularity") < 0) is None


def test_only_the_rows_and_columns_asked_for_come_back(tmp_path: Path) -> None:
    inputs = committed(Folder(str(tmp_path)), METRICS, {("ingest", "items.parquet"): items()})
    found = read_optional(inputs, "ingest", "items.parquet", ["item_id", "item_idx"], among("item_idx", [3, 1, 99]))
    assert found is not None
    assert found.to_pydict() == {"item_id": ["id 1", "id 3"], "item_idx": [1, 3]}


def test_a_title_has_one_number_and_an_end(tmp_path: Path) -> None:
    inputs = committed(Folder(str(tmp_path)), METRICS, {("ingest", "items.parquet"): items()})
    titles = Titles()
    assert titles.number("id 1", HOSTILE[1]) == 0
    assert titles.number("other", HOSTILE[1]) == 1
    numbers = number_items(inputs, [0, 1, 77], titles)
    assert numbers == {0: 2, 1: 0}
    long = titles.number("long", "x" * 1000)
    assert titles.as_json()["ids"] == ["id 1", "other", "id 0", "long"]
    assert titles.as_json()["titles"][:3] == [HOSTILE[1], HOSTILE[1], HOSTILE[0]]
    assert titles.as_json()["titles"][long] == "x" * (TITLE_LIMIT - 1) + "…"
