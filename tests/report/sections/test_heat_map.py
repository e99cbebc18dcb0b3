"""The heat map: values and latents in one order, r from the right table, chance in words, shades that can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.report.rows.dictionary import NO_NAME, Name
from recsae.report.sections import heat_map
from recsae.report.sections.heat_map import STEPS, Heat, HeatColumn, about_heat
from recsae.schemas.concepts import ATTRIBUTE_BEST, ATTRIBUTE_STATS
from recsae.store.filesystem import Folder
from recsae.text import html
from tests.report.concepts_table import HOSTILE, hostile_table
from tests.report.made_page import METRICS, Page, Tables, committed, make_report
from tests.report.made_tables import ALL, table, tables

NAMES = {7: Name("space opera", True), 3: NO_NAME, 5: Name(HOSTILE[0], False)}
STYLE = Path(html.__file__).parent / "static" / "base.css"


def best(attribute: str, value: str, latent: int, r: float, **other: Any) -> dict[str, Any]:
    row = {"code": "sae", "view": "recommended", "cases": 1200, "null_mean": 0.02, "null_upper": 0.05, "p_value": 0.01}
    return {**row, "attribute": attribute, "value": value, "latent": latent, "correlation": r, **other}


def stat(latent: int, attribute: str, value: str, r: float, **other: Any) -> dict[str, Any]:
    row = {"code": "sae", "view": "recommended", "rank": 0, "cases": 1200, "mean_activation": 0.4}
    return {**row, "latent": latent, "attribute": attribute, "value": value, "correlation": r, **other}


BEST = [
    best("tags", "noir", 3, 0.5),
    best("genres", "Comedy", 7, 0.4),
    best("genres", "Drama", 3, 0.6),
    best("genres", "War", 9, 0.05),
    best("tags", "Comedy", 5, 0.2, null_upper=None),
    best("genres", "Comedy", 8, 0.9, code="raw"),
    best("genres", "Horror", 8, float("nan")),
]
STATS = [
    stat(7, "genres", "Comedy", 0.1),  # the table of the best has it, and to the last digit
    stat(3, "genres", "Comedy", -0.317),
    stat(5, "genres", "Comedy", 0.0049),
    stat(7, "genres", "Drama", 0.7),
    stat(7, "tags", "noir", 0.8, code="untrained"),
    stat(7, "tags", "noir", 0.9, view="input"),
    stat(8, "tags", "noir", 0.99),
]


def made(rows: list[dict[str, Any]], stats: list[dict[str, Any]] = STATS) -> Tables:
    return {
        ("statistics", "attribute_best.parquet"): table(rows, ATTRIBUTE_BEST),
        ("statistics", "attribute_stats.parquet"): table(stats, ATTRIBUTE_STATS),
    }


def heat(root: Path, of: Tables, view: str = "recommended") -> Heat:
    found = about_heat(committed(Folder(str(root)), METRICS, of), NAMES, view)
    assert found is not None
    return found


def test_rows_are_by_attribute_and_columns_in_their_order(tmp_path: Path) -> None:
    found = heat(tmp_path, made(BEST))
    rows = {group.attribute: [row.value for row in group.rows] for group in found.groups}
    assert list(rows.items()) == [("genres", ["Drama", "Comedy", "War"]), ("tags", ["noir", "Comedy"])]
    assert found.columns == (
        HeatColumn(3, NO_NAME, True),
        HeatColumn(7, Name("space opera", True), True),
        HeatColumn(9, NO_NAME, False),
        HeatColumn(5, Name(HOSTILE[0], False), True),
    )
    assert (found.shown, found.measured) == (5, 5)


def test_each_value_has_one_best_cell_and_r_comes_from_where_it_is(tmp_path: Path) -> None:
    found = heat(tmp_path, made(BEST))
    rows = {(group.attribute, row.value): row.cells for group in found.groups for row in group.rows}
    shown = {pair: [cell.r for cell in cells] for pair, cells in rows.items()}
    assert shown == {
        ("genres", "Drama"): ["0.60", "0.70", "", ""],
        ("genres", "Comedy"): ["−0.32", "0.40", "", "0.00"],
        ("genres", "War"): ["", "", "0.05", ""],
        ("tags", "noir"): ["0.50", "", "", ""],
        ("tags", "Comedy"): ["", "", "", "0.20"],
    }
    assert [[cell.best for cell in cells].index(True) for cells in rows.values()] == [0, 1, 2, 0, 3]
    assert all(sum(cell.best for cell in cells) == 1 for cells in rows.values())
    assert [cell.step for cell in rows["genres", "Comedy"]] == [-3, 3, 0, 0]
    assert rows["genres", "Drama"][1].step == 5 and rows["genres", "War"][2].step == 0
    assert found.gaps


def test_what_does_not_exceed_chance_is_said_in_words(tmp_path: Path) -> None:
    found = heat(tmp_path, made(BEST))
    marks = {(group.attribute, row.value): row.mark for group in found.groups for row in group.rows}
    assert marks.pop(("genres", "War")) == "within chance"  # r is the bound itself
    assert marks.pop(("tags", "Comedy")) == "chance not measured"
    assert set(marks.values()) == {""}


@pytest.mark.parametrize(
    ("views", "asked", "shown"),
    [
        (("input", "recommended"), "input", "input"),
        (("input", "recommended"), "recommended", "recommended"),
        (("input", "recommended"), "elsewhere", "recommended"),
        (("input",), "recommended", "input"),
        (("b", "a"), "recommended", "a"),
    ],
)
def test_one_view_is_shown_that_of_the_probe_where_it_was_measured(
    tmp_path: Path, views: tuple[str, ...], asked: str, shown: str
) -> None:
    rows = [best("genres", f"of {view}", 3, 0.4, view=view) for view in views]
    found = heat(tmp_path, made(rows), asked)
    assert [row.value for group in found.groups for row in group.rows] == [f"of {shown}"]
    assert found.description == heat_map.VIEWS.get(shown, shown)


def test_a_large_catalogue_is_cut_to_what_is_answered_to_best(tmp_path: Path) -> None:
    rows = [best(f"field {value % 3}", f"value {value}", value, value / 100) for value in range(60)]
    found = heat(tmp_path, made(rows))
    values = {int(row.value.split()[1]) for group in found.groups for row in group.rows}
    assert values == set(range(60 - heat_map.VALUES, 60)) and (found.shown, found.measured) == (24, 60)
    assert len(found.columns) == heat_map.VALUES


def test_of_a_large_table_only_the_rows_shown_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = pq.read_table

    def read_table(*arguments: Any, **named: Any) -> pa.Table:
        found = whole(*arguments, **named)
        read.append(found.num_rows)
        return found

    monkeypatch.setattr(pq, "read_table", read_table)
    many = [stat(latent, "genres", f"other {value}", 0.5) for latent in range(100) for value in range(20)]
    heat(tmp_path, made(BEST, [*many, *STATS]))
    assert read == [5, 4]


@pytest.mark.parametrize(
    "rows", [[], [best("genres", "Horror", 8, float("nan"))], [best("g", "v", 1, 0.5, code="raw")]]
)
def test_nothing_measured_is_no_map(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    assert about_heat(committed(Folder(str(tmp_path)), METRICS, made(rows)), NAMES, "recommended") is None
    assert about_heat(committed(Folder(str(tmp_path)), METRICS, {}), NAMES, "recommended") is None
    text = make_report(tmp_path / "page", hostile_table(), ALL, tables={**tables(), **made(rows)})
    assert 'class="heat"' not in text and 'id="attributes"' in text


def test_without_the_latents_own_lists_the_best_cells_stand_alone(tmp_path: Path) -> None:
    found = heat(tmp_path, {("statistics", "attribute_best.parquet"): table(BEST, ATTRIBUTE_BEST)})
    assert sum(bool(cell.r) for group in found.groups for row in group.rows for cell in row.cells) == found.shown


def section(root: Path, of: Tables) -> str:
    text = make_report(root, hostile_table(), ALL, tables={**tables(), **of})
    return text[text.index('<h3 id="heat-title">') : text.index('<section id="turning"')]


def test_the_map_is_a_table_that_can_be_scrolled_to_and_links_to_known_latents(tmp_path: Path) -> None:
    text = section(tmp_path, made(BEST))
    page = Page(text)
    (region,) = [at for tag, at in page.tags if tag == "div"]
    assert (region["role"], region["tabindex"]) == ("region", "0") and region["aria-labelledby"] == "heat-title"
    scopes = [at["scope"] for tag, at in page.tags if tag == "th"]
    assert (scopes.count("col"), scopes.count("row"), scopes.count("rowgroup")) == (5, 5, 2)
    assert [at["href"] for tag, at in page.tags if tag == "a"] == ["#latent-3", "#latent-7", "#latent-5"]
    assert "an empty cell is not among them" in page.text and "the 20 attributes" in page.text
    assert "within chance" in page.text


def test_without_a_gap_none_is_explained(tmp_path: Path) -> None:
    text = section(tmp_path, made([best("genres", HOSTILE[1], 3, 0.6)], []))
    assert "empty cell" not in text and "<img" not in text and '<td class="more-4 best-of">0.60</td>' in text


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_a_number_can_be_read_on_every_shade_and_more_is_farther_from_the_sheet(scheme: int) -> None:
    root = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)[scheme]
    colour = {name: luminance(value) for name, value in re.findall(r"--([\w-]+): (#\w{6});", root)}
    for side in ("more", "less"):
        shades = [colour[f"{side}-{step}"] for step in range(1, len(STEPS) + 1)]
        for shade in shades:
            dark, light = sorted((shade, colour["ink"]))
            assert (light + 0.05) / (dark + 0.05) >= 4.5
        away = [abs(shade - colour["sheet"]) for shade in shades]
        assert away == sorted(away)
