"""The table in the terminal: the surest first, whole paths, and nothing that a terminal or rich would obey."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsae.cli.render.dictionary import ROWS, print_dictionary
from recsae.store.filesystem import Folder
from tests.report.concepts_table import concept_row, concepts_table, hostile_table, made_up_table


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / ("deep-" * 30)))


def printed(folder: Folder, capsys: pytest.CaptureFixture[str], scheme: str = "") -> str:
    place = scheme + folder.locate("concepts.parquet")
    print_dictionary({"dictionary": place, "report": folder.locate("report.html")})
    return capsys.readouterr().out


def test_surest_first_and_at_most_twenty(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        concept_row(0, name="unscored"),
        concept_row(1, name="weak", confidence=0.6, confidence_lower=0.5, confidence_upper=0.7),
        concept_row(2, name="sure", confidence=0.9, confidence_lower=0.8, confidence_upper=1.0, interpretable=True),
        concept_row(3, name="surest", confidence=1.0, confidence_lower=0.9, confidence_upper=1.0, interpretable=True),
    ]
    folder.write_table("concepts.parquet", concepts_table(rows))
    out = printed(folder, capsys)
    places = [out.index(name) for name in ("surest", "sure ", "weak", "unscored")]
    assert places == sorted(places)
    assert "0.90 [0.80, 1.00]" in out
    assert ["✓" in line for line in out.splitlines() if "0.90 [" in line or "[0.90" in line] == [True, True]
    assert "4 latents, 2 interpretable (✓): 2 formula; 2 unexplained" in out
    assert "medians: confidence 0.90" in out

    folder.write_table("concepts.parquet", made_up_table(300, 0.61))
    assert printed(folder, capsys).count("(1960)") == ROWS


def test_shared_and_polysemantic_concepts_are_marked(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        concept_row(0, name="noir", group=0, group_size=2, polysemantic=True, meanings=["noir", "heist"]),
        concept_row(1, name="noir", group=0, group_size=2, polysemantic=False),
        concept_row(2, name="western", group=2),
    ]
    folder.write_table("concepts.parquet", concepts_table(rows))
    out = printed(folder, capsys)
    marked = [line.split("unexplained")[0].split() for line in out.splitlines() if "Heat" in line]
    assert marked == [["noir", "×2", "≠"], ["noir", "×2"], ["western"]]
    assert "2 share their heading (×); 1 polysemantic (≠)" in out
    folder.write_table("concepts.parquet", concepts_table(rows[2:]))
    out = printed(folder, capsys)
    assert "×" not in out and "≠" not in out


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_paths_stand_whole_on_lines_of_their_own(
    folder: Folder, capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    folder.write_table("concepts.parquet", made_up_table(3, 0.61))
    lines = printed(folder, capsys, scheme).splitlines()
    assert lines[-2:] == [
        f"dictionary  {scheme}{folder.locate('concepts.parquet')}",
        f"report      {folder.locate('report.html')}",
    ]


def test_titles_are_not_obeyed(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.write_table("concepts.parquet", hostile_table())
    out = printed(folder, capsys)
    assert "[bold]" in out
    assert not {"\x1b", "\x07", "\x00", "\u202e", "\u2028"} & set(out)
    assert "Amélie" in out


def test_an_empty_dictionary_prints(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.write_table("concepts.parquet", concepts_table([]))
    assert "0 latents, 0 interpretable" in printed(folder, capsys)


def test_ids_stand_beside_titles_and_once_where_they_are_the_same(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [concept_row(0, top_items=["Heat (1995)", "Ronin"], top_item_ids=["6", "Ronin"])]
    folder.write_table("concepts.parquet", concepts_table(rows))
    out = printed(folder, capsys)
    assert "Heat (1995) 6 · Ronin" in out and out.count("Ronin") == 1


def test_long_titles_leave_room_for_the_name(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    titles = [f"The Very Long Title of Film Number {number} of a Series" for number in range(3)]
    rows = [concept_row(0, name="1990s: Clueless, Quiz Show", top_items=titles, top_item_ids=["a", "b", "c"])]
    folder.write_table("concepts.parquet", concepts_table(rows))
    lines = printed(folder, capsys).splitlines()
    assert any("1990s: Clueless" in line for line in lines)
    assert any("concept" in line and "confidence" in line for line in lines)
