"""The comparison of runs as its users meet it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsae.schemas.comparison import MODELS
from tests.cli.asking import Asker
from tests.comparison.made_models import best_row, rows, serve
from tests.comparison.test_models import GOOD, POOR

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker("compare", monkeypatch, capsys)


@pytest.fixture
def tomls(tmp_path: Path) -> list[str]:
    serve(tmp_path / "runs", "good", "sasrec", 0.2, rows(GOOD), [best_row("Horror", 3, 0.5)])
    serve(tmp_path / "runs", "poor", HOSTILE, 0.05, rows(POOR), [best_row("Horror", 3, 0.15)])
    found = []
    for name in ("good", "poor"):
        toml = tmp_path / f"{name}.toml"
        toml.write_text(f'name = "{name}"\n[store]\nroot = "{tmp_path / "runs"}"\n')
        found += ["--config", str(toml)]
    return found


def test_a_page_and_a_table_are_written_and_told(asked: Asker, tomls: list[str], tmp_path: Path) -> None:
    said = asked(*tomls, "--to", tmp_path / "models.html")
    assert "at .75 or above: the better recommender has more in 1 of 1 pairs; in 1 of 1 clear ones" in said
    assert "4 at 0.60" in said and str(tmp_path / "models.parquet") in said
    table = pq.read_table(tmp_path / "models.parquet")
    assert table.schema.equals(MODELS) and table["run"].to_pylist() == ["good", "poor"]
    page = (tmp_path / "models.html").read_text()
    assert "<td>1 of 1</td><td>1 of 1</td>" in page
    assert HOSTILE not in page and "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--to", "models.html"], "--config"),
        (["--config", "{good}", "--to", "models.html"], "one run alone compares with nothing"),
        (["--config", "{good}", "--config", "{good}", "--to", "models.html"], "run good is given twice"),
        (["--config", "{good}", "--config", "{poor}", "--to", "models.csv"], "the page is HTML"),
        (["--config", "{good}", "--config", "{poor}", "--to", "{good}"], "--config reads that file"),
        (["--config", "{good}", "--config", "{none}", "--to", "models.html"], "no night is served yet"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    asked: Asker, tomls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    none = tmp_path / "none.toml"
    none.write_text(f'name = "none"\n[store]\nroot = "{tmp_path / "runs"}"\n')
    before = sorted(tmp_path.iterdir())
    names = {"good": tomls[1], "poor": tomls[3], "none": str(none)}
    said = asked(*(option.format(**names) for option in options), status=2)
    assert sentence in said
    assert sorted(tmp_path.iterdir()) == before
