"""Latents against attributes: each code beside its chance, the best rows linked, and no text that is obeyed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recsae.report.rows.dictionary import NO_NAME, Name
from recsae.report.sections import attributes
from recsae.report.sections.attributes import BEST, AttributeFacts, about_attributes
from recsae.schemas.concepts import ATTRIBUTE_BEST
from recsae.store.filesystem import Folder
from recsae.text.formatting import Cell
from tests.report.concepts_table import HOSTILE, hostile_table
from tests.report.made_page import METRICS, NO_TABLES, Page, Tables, committed, make_report
from tests.report.made_tables import ALL, LATENTS, STATISTICS, attribute_best, figures, tables

NAMES = {0: NO_NAME, 1: Name(HOSTILE[0], False), 2: Name("space opera", True)}


def about(root: Path, statistics: dict[str, Any] | None = None, made: Tables = NO_TABLES) -> AttributeFacts | None:
    metrics = METRICS if statistics is None else METRICS | {"statistics": statistics}
    return about_attributes(committed(Folder(str(root)), metrics, made), NAMES)


def test_codes_stand_in_order_with_chance_and_what_is_above_it(tmp_path: Path) -> None:
    found = about(tmp_path, STATISTICS)
    assert found is not None
    (view,) = found.views
    genres, hostile = view.names
    assert (genres.name, genres.values, hostile.name, hostile.values) == ("genres", "18", HOSTILE[0], "3")
    assert [row.label for row in genres.rows] == ["SAE", "Raw dimensions", "PCA directions", "Untrained SAE"]
    assert genres.rows[0].cells == (Cell("0.550"), Cell("0.100"), Cell("0.125"), Cell("0.450"))
    assert [row.label for row in found.coherence] == ["SAE", "Untrained SAE"]
    assert found.coherence[0].cells == (Cell("0.584"), Cell("0.200"), Cell("0.400"), Cell("—"))


def test_the_best_rows_are_the_saes_by_r_with_the_others_beside(tmp_path: Path) -> None:
    found = about(tmp_path, {}, {("statistics", "attribute_best.parquet"): attribute_best()})
    assert found is not None and len(found.best) == BEST == 30
    assert found.baselines == ("Raw", "PCA", "Untrained")
    for place, row in enumerate(found.best):
        value = 39 - place
        assert row.value == f"{HOSTILE[value % 8]} {value}" and row.latent == value % LATENTS
        assert (row.r, row.upper, row.p_value) == (f"{value / 100:.3f}", "0.050", "0.010")
        assert row.baselines == (f"{value / 200:.3f}", "—", f"{value / 400:.3f}")
        assert row.concept == NAMES[row.latent]


def test_one_value_in_two_views_is_two_rows(tmp_path: Path) -> None:
    best = attribute_best(("recommended", "input"), values=2)
    found = about(tmp_path, {}, {("statistics", "attribute_best.parquet"): best})
    assert found is not None
    assert sorted((row.view, row.r) for row in found.best)[1::2] == [("input", "0.010"), ("recommended", "0.010")]


def test_recommended_comes_before_input(tmp_path: Path) -> None:
    best = dict.fromkeys(("input", "recommended"), STATISTICS["best"]["recommended"])
    found = about(tmp_path, {"best": best})
    assert found is not None
    assert [view.description for view in found.views] == [
        "the item that the model ranks first",
        "the last item of the history",
    ]


def test_a_catalogue_of_many_attributes_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "NAMES", 2)
    by_name = {f"field {size}": {"sae": figures(0.5) | {"attributes": size}} for size in range(5)}
    found = about(tmp_path, {"best": {"recommended": by_name}})
    assert found is not None
    assert [name.name for name in found.views[0].names] == ["field 4", "field 3"]
    assert found.views[0].more == 2  # the one without a value was never there


@pytest.mark.parametrize("odd", [None, {}, {"best": None}, {"best": {"recommended": {}}}, {"best": {"input": None}}])
def test_nothing_measured_is_no_section(tmp_path: Path, odd: dict[str, Any] | None) -> None:
    empty = {("statistics", "attribute_best.parquet"): ATTRIBUTE_BEST.empty_table()}
    assert about(tmp_path / "without", odd) is None
    assert about(tmp_path / "empty", odd, empty) is None
    metrics = METRICS if odd is None else METRICS | {"statistics": odd}
    text = make_report(tmp_path / "page", hostile_table(), metrics)
    assert 'id="attributes"' not in text and 'href="#attributes"' not in text
    assert "mean over attributes of the best latent’s r" in text  # what the stage of the SAE measured


def test_without_attributes_coherence_has_the_section(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table(), METRICS | {"statistics": {"coherence": STATISTICS["coherence"]}})
    assert '<h2 id="attributes-title">Coherence</h2>' in text and '<a href="#attributes">Coherence</a>' in text
    assert "Mean best r" not in text and "with the best response" not in text


def test_the_page_links_to_latents_and_shows_texts_as_text(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table(), ALL, tables=tables())
    section = text[text.index('<section id="attributes"') : text.index('<section id="turning"')]
    page = Page(section)
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]
    table = Page(section[: section.index('id="heat-title"')])
    links = [at["href"] for tag, at in table.tags if tag == "a"]
    assert links == [f"#latent-{value % LATENTS}" for value in range(39, 9, -1)]
    shown = [Page(f"<p>{cell}</p>").text for cell in re.findall(r"<bdi>(.*?)</bdi>", section, re.DOTALL)]
    assert shown[:4] == ["genres", HOSTILE[0], HOSTILE[39 % 8], f"{HOSTILE[39 % 8]} 39"]
    assert "mean over attributes of the best latent’s r" not in text  # told once, with its chance


def test_every_row_has_as_many_cells_as_there_are_columns(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table(), ALL, tables=tables())
    section = text[text.index('<section id="attributes"') : text.index('<section id="turning"')]
    tables_ = re.findall(r"<table.*?</table>", section, re.DOTALL)
    assert len(tables_) == 4
    for one in tables_:
        columns = len(re.findall(r'scope="col"', one))
        for row in re.findall(r"<tr[ >].*?</tr>", one.split("</thead>")[1], re.DOTALL):
            spans = sum(int(span) - 1 for span in re.findall(r'colspan="(\d+)"', row))
            assert len(re.findall(r"<t[hd][ >]", row)) + spans == columns
