"""An item's latents by strength: the most popular items first, and no more than can be looked through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsae.report.rows import items
from recsae.report.rows.items import item_details
from recsae.report.tables import Titles
from recsae.store.filesystem import Folder
from tests.report.concepts_table import HOSTILE
from tests.report.made_page import METRICS, NO_TABLES, Tables, committed
from tests.report.made_tables import N_ITEMS, tables


def details(root: Path, made: Tables) -> tuple[dict[str, Any], list[str]]:
    titles = Titles()
    return item_details(committed(Folder(str(root)), METRICS, made), titles), titles.as_json()["titles"]


def test_popular_items_come_first_and_latents_by_strength(tmp_path: Path) -> None:
    found, titles = details(tmp_path, tables())
    # The most popular item fires nothing.
    assert [titles[number] for number, *_ in found["latents"]] == list(reversed(HOSTILE[:-1]))
    assert found["latents"][0][1:] == [2, N_ITEMS - 1, 9, 1, N_ITEMS - 1, 8, 0, N_ITEMS - 1, 7]
    assert (found["of"], found["cut"]) == (N_ITEMS, False)


def test_no_more_items_and_latents_than_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "MAX_SHOWN", 3)
    monkeypatch.setattr(items, "LATENTS", 1)
    found, titles = details(tmp_path, tables())
    assert [titles[number] for number, *_ in found["latents"]] == [HOSTILE[-2], HOSTILE[-3]]
    assert all(len(row) == 4 and row[1] == 2 for row in found["latents"])
    assert found["cut"]


@pytest.mark.parametrize("missing", [("ingest", "items.parquet"), ("evidence", "item_latents.parquet")])
def test_without_a_table_there_is_no_view_of_items(tmp_path: Path, missing: tuple[str, str]) -> None:
    assert details(tmp_path, NO_TABLES)[0] == {}
    assert details(tmp_path, {key: made for key, made in tables().items() if key != missing})[0] == {}
