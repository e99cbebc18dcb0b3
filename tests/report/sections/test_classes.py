"""Every alive latent is counted in one class, and medians are over those that have the figure."""

from __future__ import annotations

from pathlib import Path

from recsae.report.sections.classes import COLUMNS, about_classes
from recsae.text.formatting import Cell
from tests.report.concepts_table import concept_row, concepts_table
from tests.report.made_page import Page, make_report

ROWS = [
    concept_row(
        0, kind="item set", interpretable=True, confidence=0.8, unseen_confidence=0.7, term_confidence=0.6, f1=0.3
    ),
    concept_row(1, kind="item set", interpretable=True, confidence=0.9, term_confidence=0.5, f1=0.5, core_f1=0.6),
    concept_row(2, kind="formula", interpretable=True, confidence=0.7, unseen_confidence=0.6, term_confidence=0.7),
    concept_row(3, kind="unexplained", confidence=0.55, term_confidence=0.55),
    concept_row(4, kind="free text", interpretable=True),
]


def test_classes_add_up_and_say_of_how_many_a_median_is() -> None:
    found = about_classes(concepts_table(ROWS))
    assert [row.label for row in found.rows] == ["formula", "item set", "free text", "unexplained", "all alive latents"]
    cells = {row.label: dict(zip(COLUMNS, row.cells, strict=True)) for row in found.rows}
    counts = [int(row.cells[0].value) for row in found.rows]
    assert sum(counts[:-1]) == counts[-1] == 5
    sets = cells["item set"]
    assert sets["Latents"] == Cell("2", "40.0\u00a0%") and sets["Confidence"] == Cell("0.85")
    assert sets["On unseen items"] == Cell("0.70", "of 1") and sets["Best single term"] == Cell("0.55")
    assert sets["F1"] == Cell("0.40") and sets["Narrow F1"] == Cell("0.60", "of 1")
    assert set(cells["free text"].values()) == {Cell("1", "20.0\u00a0%"), Cell("—")}
    assert cells["all alive latents"]["Confidence"] == Cell("0.75", "of 4")


def test_medians_and_the_sum_in_short() -> None:
    found = about_classes(concepts_table(ROWS))
    assert found.short == "1 formula, 2 item set, 1 free text; 1 unexplained"
    assert found.medians.confidence == 0.75 and found.medians.scored == 4
    assert found.medians.unseen_scored == 2 and found.medians.core_f1 == 0.6
    empty = about_classes(concepts_table([]))
    assert empty.rows == () and empty.short == "" and empty.medians.confidence is None


def test_the_page_has_a_row_a_class_and_mutes_what_does_not_hold(tmp_path: Path) -> None:
    text = make_report(tmp_path, concepts_table(ROWS))
    assert text.count('<tr role="row" class="unproven">') == 1 and "no statement is above the bar" in text
    assert "<strong>4 of 5</strong><span>1 formula, 2 item set, 1 free text; 1 unexplained</span>" in text
    assert 'id="classes"' not in make_report(tmp_path / "empty", concepts_table([]))
    assert "What the latents are about" in Page(text).text
