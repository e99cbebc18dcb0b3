"""Unusual but valid files: odd names, folders, headers and long lines."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.data import stage
from tests.data import frames
from tests.data.conftest import Ingest

FRAME = pd.DataFrame(
    [(user, item, time) for user in frames.USERS for time, item in enumerate("abc")],
    columns=["user_id", "item_id", "timestamp"],
)


def write(frame: pd.DataFrame, path: Path) -> str:
    path.parent.mkdir(exist_ok=True, parents=True)
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        case ".parquet":
            frame.to_parquet(path)
    return str(path)


@pytest.mark.parametrize("as_uri", [False, True])
@pytest.mark.parametrize("name", ["g[1].csv", "g*.csv", "g?.parquet", "g[!a].jsonl"])
def test_one_file_is_read_whatever_its_name_would_match(tmp_path: Path, run: Ingest, name: str, as_uri: bool) -> None:
    kind = Path(name).suffix
    for other in ("g1", "gb", "gg"):
        write(FRAME.assign(item_id="other"), tmp_path / f"{other}{kind}")
    path = write(FRAME, tmp_path / name)
    done = run(data={"interactions": [Path(path).as_uri() if as_uri else path]})
    assert frames.items(done).item_id.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_folders_name_no_columns(tmp_path: Path, run: Ingest, kind: str) -> None:
    path = write(FRAME, tmp_path / "user_id=zz" / f"ev.{kind}")
    assert frames.users(run(data={"interactions": [path]})).user_id.tolist() == list(frames.USERS)


def test_unused_columns_may_have_any_name(tmp_path: Path, run: Ingest) -> None:
    lines = (f"{place},{user},{item},zz,{time},1,2" for place, (user, item, time) in enumerate(FRAME.to_numpy()))
    paths = [frames.write_lines(tmp_path / "e.csv", ",user_id,item_id,USER_ID,timestamp,x,x", *lines)]
    odd = [("x", "zz"), ("USER_ID", "zz"), *FRAME.items(), ("", "zz"), ("x", "zz")]
    columns = [pa.array([held] * len(FRAME)) if isinstance(held, str) else pa.array(held) for _, held in odd]
    pq.write_table(pa.table(columns, names=[name for name, _ in odd]), tmp_path / "e.parquet")
    paths.append(str(tmp_path / "e.parquet"))
    paths.append(write(FRAME.assign(USER_ID="zz"), tmp_path / "e.jsonl"))
    for path in paths:
        for timestamp in ("timestamp", ""):
            done = run(data={"interactions": [path], "columns": {"timestamp": timestamp}})
            found = frames.interactions(done)
            assert (
                found[["user_id", "item_id"]].to_numpy().tolist() == FRAME[["user_id", "item_id"]].to_numpy().tolist()
            )


def test_a_list_longer_than_two_megabytes(tmp_path: Path, run: Ingest) -> None:
    words = [f"item-{zlib.crc32(bytes([place]))}-{'x' * 1000}" for place in range(200)]
    lines = [f"{user}\t{' '.join(words * (15 if user == 'h1' else 1))}" for user in frames.USERS]
    path = frames.write_lines(tmp_path / "e.tsv", "user_id\titem_id", *lines)
    assert len(lines[0]) > 3 * 10**6
    done = run(data={"interactions": [path], "columns": {"timestamp": ""}, "list_separator": " "})
    assert frames.users(done).events.tolist() == [3000, 200, 200]


def test_an_interrupted_query_is_an_interrupt(tmp_path: Path, run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> int:
        raise RuntimeError("Query interrupted")  # DuckDB's words for Ctrl-C in the middle of a query

    monkeypatch.setattr(stage, "read_events", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(data={"interactions": [write(FRAME, tmp_path / "e.csv")]})
