"""Unusable files of activations are refused in one sentence that names file, row and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.errors import BadInput
from recsae.store.run_store import Committed
from tests.activations.handed_in import Change, changed, config_of, refusal, small, taken
from tests.conftest import Commit

LONG = pa.list_(pa.float64())
BAD: list[tuple[str, Change, str]] = [
    ("no id", lambda t: t.drop_columns("case_id"), "there is no column case_id among activation;"),
    ("no vector", lambda t: t.drop_columns("activation"), "there is no column activation among case_id;"),
    (
        "an id twice",
        lambda t: t.append_column("case_id", t["case_id"]),
        "the header names column case_id twice; rename one",
    ),
    (
        "ids of text",
        lambda t: t.set_column(0, "case_id", t["case_id"].cast(pa.string())),
        "column case_id holds string where int64 is due; write numbers",
    ),
    (
        "no floats",
        lambda t: t.set_column(1, "activation", pa.array([[1]] * t.num_rows)),
        r"column activation holds list<.*int64> where a list of float32 or float64 is due",
    ),
    ("no rows", lambda t: t.slice(0, 0), "the file has no rows; fill it or leave it out"),
    ("an empty id", changed("case_id", 2, None), "row 3, column case_id is empty"),
    ("a huge id", changed("case_id", 2, 2**63, pa.uint64()), "column case_id holds a number beyond int64"),
    ("an empty vector", changed("activation", 2, None), "row 3, column activation is empty"),
    ("length 0", changed("activation", 0, []), "row 1, column activation has length 0; fill it"),
    (
        "another length",
        changed("activation", 4, [1.0]),
        r"row 5, column activation has length 1 where the first row of .*v has 4; give vectors of one length",
    ),
    (
        "not a number",
        changed("activation", 4, [1, 2, float("nan"), 4]),
        r"row 5 \(case_id 14\), column activation holds a value that is missing or no finite number",
    ),
    ("infinite", changed("activation", 1, [1, 2, 3, -float("inf")]), r"row 2 \(case_id 11\), column activation"),
    ("beyond 32 bits", changed("activation", 1, [1, 2, 3, 1e39], LONG), r"row 2 \(case_id 11\), column activation"),
    ("a gap in a vector", changed("activation", 1, [1, 2, 3, None]), r"row 2 \(case_id 11\), column activation"),
    ("an id once more", changed("case_id", 4, 11), "row 5 has the case_id 11 of row 2 of .*v; keep one of them"),
]


@pytest.mark.parametrize(("change", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_used(commit: Commit, ingested: Committed, tmp_path: Path, change: Change, said: str) -> None:
    found = refusal(commit, ingested, tmp_path, change)
    assert re.search(rf"^probe\.activations: .*v: {said}", found), found


def test_rows_are_numbered_through_the_file(
    commit: Commit, ingested: Committed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsae.activations.imported_vectors.ROWS_PER_BATCH", 2)
    for row, value in enumerate(([1, 2, 3, float("inf")], [1], None)):
        found = refusal(commit, ingested, tmp_path, changed("activation", 4 + row, value))
        assert f"v: row {5 + row}" in found, found
    assert "v: row 8, column case_id" in refusal(commit, ingested, tmp_path, changed("case_id", 7, None))


@pytest.mark.parametrize("held", [b"neither of these", b"PAR1 cut short", b"ARROW1 cut short"])
def test_files_that_are_broken(commit: Commit, ingested: Committed, tmp_path: Path, held: bytes) -> None:
    _, cases = small(ingested)
    (tmp_path / "v").write_bytes(held)
    pq.write_table(cases, tmp_path / "c.parquet")
    with pytest.raises(BadInput, match=r"v: cannot be read as Parquet or Arrow \(.*\); give one of these"):
        taken(commit, ingested, config_of(tmp_path, ["v"], "c.parquet"))
    (tmp_path / "v").write_bytes(b"")
    with pytest.raises(BadInput, match="v: the file is empty; give it rows"):
        taken(commit, ingested, config_of(tmp_path, ["v"], "c.parquet"))
