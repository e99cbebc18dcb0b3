"""A file named by the user: whole, or not there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.errors import BadInput
from recsae.store.atomic_output import atomic_parquet_writer, resolve_output

TABLE = pa.table({"a": [1, 2, 3]})


def test_it_is_there_at_the_end_and_replaces_what_was(tmp_path: Path) -> None:
    folder, name = resolve_output("--to", str(tmp_path / "new" / "a.parquet"))
    for times in (1, 2):
        with atomic_parquet_writer(folder, name, TABLE.schema) as out:
            for _ in range(times):
                out.write_table(TABLE)
    assert pq.read_table(tmp_path / "new" / "a.parquet").num_rows == 6
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.parquet"]


def test_a_failure_leaves_nothing_and_keeps_what_was(tmp_path: Path) -> None:
    folder, name = resolve_output("--to", str(tmp_path / "a.parquet"))
    with atomic_parquet_writer(folder, name, TABLE.schema) as out:
        out.write_table(TABLE)
    with pytest.raises(pa.ArrowInvalid), atomic_parquet_writer(folder, name, pa.schema([("a", pa.int64())])) as out:
        out.write_table(pa.table({"a": ["no number"]}).cast(TABLE.schema))
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("target", ["", "x/", "nowhere://x/a.parquet", "a\nb", "/proc/a.parquet", "x" * 300])
def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="--to"):
        resolve_output("--to", target)


def test_a_folder_and_a_file_in_the_way_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        resolve_output("--to", str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        resolve_output("--to", str(tmp_path / "file" / "a.parquet"))
