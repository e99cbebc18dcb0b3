"""Latents that reach a threshold, beside chance, each with the number of latents scored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recsae.report.sections.confidence import about_confidence, count_rows
from recsae.text.formatting import Cell
from tests.report.concepts_table import concept_row, concepts_table, hostile_table, made_up_table
from tests.report.made_page import METRICS, Page, make_report
from tests.report.made_tables import ALL, REACHED, SCORES

ROWS = [
    concept_row(0, confidence=0.9, confidence_shuffled=0.5, interpretable=True, group=0, group_size=2),
    concept_row(1, confidence=0.8, group=0, group_size=2, polysemantic=True, meanings=["a", "b"]),
    concept_row(2, confidence=0.5, confidence_shuffled=0.4, group=2, polysemantic=False),
    concept_row(3, name=None, status="not in the sample"),
]


def test_rows_are_counted() -> None:
    counts = count_rows(concepts_table(ROWS))
    assert counts == (4, 3, 2, 1, 1, 2, 1)
    assert count_rows(concepts_table([])) == (0,) * 7


def test_chance_stands_below_what_it_is_the_chance_of() -> None:
    found = about_confidence(count_rows(made_up_table(300, 0.61)), REACHED, SCORES)
    assert [row.label for row in found.rows] == [
        "Confidence",
        "By chance: the shuffled controls",
        "RecSAE’s protocol",
        "By chance: coin flips",
        "By chance: the judge’s answers, shuffled",
    ]
    scored = count_rows(made_up_table(300, 0.61)).scored
    assert found.rows[0].cells[3:4] == (Cell("40", f"{4000 / scored:.1f}\u00a0%"),)
    assert found.rows[0].cells[0] == Cell(str(scored))
    unknown = (Cell("—"), Cell("—"))
    assert found.rows[2].cells == (Cell("64"), *unknown, Cell("13", "20.3\u00a0%"), Cell("4", "6.2\u00a0%"))
    assert found.rows[3].cells == (Cell("64"), *unknown, Cell("3.5", "5.5\u00a0%"), Cell("0.7", "1.1\u00a0%"))
    assert found.rows[4].cells == (Cell("64"), *unknown, Cell("4.0", "6.2\u00a0%"), Cell("0.8", "1.2\u00a0%"))


@pytest.mark.parametrize("odd", [{}, {"recsae": None}, {"recsae": {"latents": 0, "coin_0.8": 0.05}}, {"recsae": []}])
def test_without_recsaes_protocol_its_rows_are_left_out(odd: dict[str, Any]) -> None:
    counts = count_rows(concepts_table(ROWS))
    found = about_confidence(counts, REACHED, odd)
    assert [row.label for row in found.rows] == ["Confidence", "By chance: the shuffled controls"]
    assert not found.recsae
    assert about_confidence(counts, {}, odd).rows == ()


def test_what_is_absent_of_a_row_is_a_dash() -> None:
    found = about_confidence(count_rows(concepts_table(ROWS)), {"at_0.75": 2}, {"recsae": {"latents": 8, "at_0.8": 1}})
    assert found.rows[0].cells == (Cell("3"), Cell("—"), Cell("2", "66.7\u00a0%"), Cell("—"), Cell("—"))
    assert found.rows[1].cells == (Cell("2"), *[Cell("—")] * 4)
    assert found.rows[3].cells == (Cell("8"), *[Cell("—")] * 4)


def test_the_page_tells_them_and_draws_the_calibration(tmp_path: Path) -> None:
    text = make_report(tmp_path, made_up_table(300, 0.61), ALL)
    page = Page(text)
    identified = [at["id"] for _, at in page.tags if "id" in at]
    assert {"belief", "calibration"} <= set(identified) and len(identified) == len(set(identified))
    assert len(re.findall(r"<title>expected [\d.]+, right [\d.]+, [\d,]+ latents</title>", text)) == 2
    assert "Mean error 0.031" in page.text
    assert re.search(
        r"<dt>Groups</dt><dd><strong>\d+</strong><span>.*; \d+ polysemantic of 16 asked about</span>", text
    )
    assert "×3 after a name" in page.text and "Two meanings below a name" in page.text


@pytest.mark.parametrize("calibration", [None, {}, {"error": None, "bins": []}, {"error": 0.1, "bins": None}])
def test_too_few_latents_leave_no_empty_calibration(tmp_path: Path, calibration: Any) -> None:
    metrics = ALL | {"scores": METRICS["scores"] | {"calibration": calibration}}
    text = make_report(tmp_path, hostile_table(), metrics)
    assert 'id="calibration"' not in text and 'href="#calibration"' not in text and "calibration-picture" not in text
    shown = Page(text).text
    assert (
        'id="belief"' in text
        and "RecSAE’s protocol" not in shown
        and "Expected is the confidence to expect" not in shown
    )


def test_a_run_without_any_of_it_has_no_husk(tmp_path: Path) -> None:
    text = make_report(tmp_path, concepts_table([concept_row(0, name=None, status="too few cases")]))
    for part in ("belief", "calibration", "attributes", "items"):
        assert f'id="{part}"' not in text and f'href="#{part}"' not in text
    for word in (
        "of latents with the same heading",
        "polysemantic",
        "after a name",
        "Levels, on the page of a concept",
    ):
        assert word not in Page(text).text
