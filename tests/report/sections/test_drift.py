"""What changed since last night, as the page tells it; hostile names stay text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from recsae.report.sections import drift
from recsae.report.sections.drift import about_drift
from recsae.schemas.nightly import DRIFT
from recsae.store.filesystem import Folder
from tests.report.concepts_table import HOSTILE, hostile_table
from tests.report.made_page import METRICS, Page, Tables, committed, make_report

COUNTS = {
    "kept": 3,
    "renamed": 1,
    "moved": 1,
    "new": 2,
    "gone": 1,
    "unnamed": {"kept": 5, "gone": 2},
    "lost": 1,
    "gained": 0,
    "interpretable_before": 4,
    "interpretable_gone": 0.25,
}
CONCEPTS = METRICS["concepts"] | {"drift": COUNTS}
FOLLOWED = METRICS | {"concepts": CONCEPTS, "labels": METRICS["labels"] | {"latents": 8, "carried": 5}}


def row(stable_id: str, change: str, sure: float, **given: Any) -> dict[str, Any]:
    interpretable = {
        "interpretable": True,
        "last_interpretable": True,
        "confidence": sure,
        "last_confidence": sure,
    }
    return {**dict.fromkeys(DRIFT.names), "stable_id": stable_id, "change": change, **interpretable, **given}


def tables(*rows: dict[str, Any]) -> Tables:
    return {("concepts", "drift.parquet"): pa.Table.from_pylist(list(rows), DRIFT)}


ROWS = (
    row("a-1", "kept", 0.9, name="War", last_name="War"),
    row("a-2", "renamed", 0.7, name=HOSTILE[0], last_name="Drama", jaccard=0.25, similarity=0.8),
    row("a-3", "renamed", 0.8, name="Noir", last_name=HOSTILE[1]),
    row("a-4", "gone", 0.6, last_name="Western", confidence=None),
    row("a-5", "new", 0.5, name="Sci-Fi", interpretable=False, last_interpretable=None),
)


def test_a_first_night_says_nothing(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    assert about_drift(committed(folder, METRICS, tables(*ROWS))) is None
    assert about_drift(committed(folder, FOLLOWED, tables())) is None
    page = make_report(tmp_path, hostile_table())
    assert 'id="drift"' not in page


def test_changes_of_interpretable_concepts_are_ordered_by_change(tmp_path: Path) -> None:
    found = about_drift(committed(Folder(str(tmp_path)), FOLLOWED, tables(*ROWS)))
    assert found is not None
    assert [one.label for one in found.rows] == ["a-4", "a-3", "a-2"]
    assert [cell.value for cell in found.rows[2].cells] == ["Drama", HOSTILE[0], "0.70", "0.70", "0.80", "0.25"]
    assert found.counts == (("kept", "3"), ("renamed", "1"), ("moved", "1"), ("new", "2"), ("gone", "1"))
    assert (found.gone, found.reused, found.relabelled, found.more) == ("25.0\u00a0%", "5", "3", 1)


def test_the_table_is_bounded_and_says_what_it_leaves_out(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(drift, "MAX_SHOWN", 2)
    found = about_drift(committed(Folder(str(tmp_path)), FOLLOWED, tables(*ROWS)))
    assert found is not None and len(found.rows) == 2 and found.more == 2


def test_names_on_the_page_are_text(tmp_path: Path) -> None:
    page = Page(make_report(tmp_path, hostile_table(), FOLLOWED, tables=tables(*ROWS)))
    assert ("section", {"id": "drift", "aria-labelledby": "drift-title"}) in page.tags
    assert HOSTILE[0] in page.text and HOSTILE[1] in page.text
    assert page.text.count("renamed") >= 2
