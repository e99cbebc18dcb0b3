"""The job that plants a catalogue: two files, whole or not there, and one sentence where it cannot be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.cli import plant
from recsae.cli.main import main
from recsae.data.synthetic import INTERACTIONS, ITEMS

Plant = Callable[..., int | str | None]
FILES = ["interactions.parquet", "items.parquet"]


@pytest.fixture
def planting(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """The job with these options beside a small size; its exit status."""

    def run(*options: str) -> int | str | None:
        size = ["--users", "50", "--items", "60", "--events", "400", "--concepts", "5"]
        monkeypatch.setattr(sys, "argv", ["plant", *size, *options])
        try:
            main(["plant"])
        except SystemExit as ended:
            return ended.code
        return 0

    return run


def test_it_writes_two_files_and_the_same_again(
    tmp_path: Path, planting: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planting("--to", str(tmp_path / "a" / "b")) == planting("--to", f"{tmp_path}/c/") == 0
    assert "400 events of 50 users on 60 items of 5 concepts" in capsys.readouterr().out
    for folder in (tmp_path / "a" / "b", tmp_path / "c"):
        assert sorted(path.name for path in folder.iterdir()) == FILES
    for name, schema, rows in zip(FILES, (INTERACTIONS, ITEMS), (400, 60), strict=True):
        first, second = (tmp_path / "a" / "b" / name).read_bytes(), (tmp_path / "c" / name).read_bytes()
        table = pq.read_table(tmp_path / "c" / name)
        assert first == second and table.num_rows == rows and table.schema == schema


def test_neither_file_is_there_where_one_fails(
    tmp_path: Path, planting: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = plant.event_tables

    def fails(*given: object) -> Iterator[pa.Table]:
        yield from real(*given)  # type: ignore[arg-type]
        raise OSError("disk full")

    monkeypatch.setattr(plant, "event_tables", fails)
    with pytest.raises(OSError, match="disk full"):
        planting("--to", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--events", "10"], "recsae: --events 10: give at least 6 per user (300), and less than 2^48\n"),
        (["--concepts", "61"], "recsae: --items 60: give at least one per concept (61), and less than 2^31\n"),
        (
            ["--users", "x"],
            "recsae: invalid value for '--users': 'x' is not a valid integer; see `recsae plant --help`\n",
        ),
        (["--config", "x.toml"], "recsae: no such option '--config'; see `recsae plant --help`\n"),
    ],
)
def test_what_cannot_be_ends_in_one_sentence_and_writes_nothing(
    tmp_path: Path, planting: Plant, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert planting("--to", str(tmp_path), *options) == 2
    assert capsys.readouterr().err == told and list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, planting: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert planting("--to", str(tmp_path / "file")) == 2
    assert capsys.readouterr().err.startswith(f"recsae: --to {tmp_path}/file/items.parquet: cannot be written")
