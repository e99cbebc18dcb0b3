"""Unusable tables of cases are refused in one sentence that names file, row, column and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from recsae.errors import BadInput
from recsae.store.run_store import Committed
from tests.activations.handed_in import Change, changed, config_of, refusal, small, taken
from tests.conftest import Commit

BAD: list[tuple[str, Change, str]] = [
    ("no user column", lambda t: t.drop_columns("user_id"), "there is no column user_id among case_id, item_id"),
    (
        "no top items",
        lambda t: t.drop_columns("top_item_id"),
        r'there is no column top_item_id among .*; name it so or set probe\.view = "input"',
    ),
    ("no rows", lambda t: t.slice(0, 0), "the table has no rows; fill it"),
    ("a case twice", changed("case_id", 3, 11), "rows 2 and 4 have the same case_id 11; keep one of them"),
    (
        "an id that is none",
        lambda t: t.set_column(0, "case_id", pa.array(["x"] * t.num_rows)),
        "row 1, column case_id holds 'x', which is no whole number from -9223372036854775808 to 92233",
    ),
    (
        "a negative position",
        lambda t: t.append_column("position", pa.array([-1] * t.num_rows)),
        "row 1, column position holds '-1', which is no whole number from 0 to 2147483647; fix it",
    ),
    ("no case", changed("case_id", 2, None), "row 3, column case_id is empty; fill it or leave the row out"),
    ("no user", changed("user_id", 2, None), "row 3, column user_id is empty"),
    ("no top item", changed("top_item_id", 2, " "), "row 3, column top_item_id is empty"),
    (
        "a list",
        lambda t: t.set_column(1, "user_id", pa.array([["u"]] * t.num_rows)),
        "row 1, column user_id holds a list, expected one value; flatten it",
    ),
    (
        "an unknown user",
        changed("user_id", 2, "nobody"),
        r"row 3, column user_id holds 'nobody', which is not among the users of the interactions \(1 such rows\); "
        r"data\.min_user_events = 5 filters rare ones: lower it, or leave these cases out",
    ),
    (
        "an unknown item",
        changed("item_id", 2, "nothing"),
        r"row 3, column item_id holds 'nothing', which is not among the items .*data\.min_item_events = 5 filters",
    ),
    ("an unknown top item", changed("top_item_id", 2, "nothing"), "row 3, column top_item_id holds 'nothing'"),
]


@pytest.mark.parametrize(("change", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_used(commit: Commit, ingested: Committed, tmp_path: Path, change: Change, said: str) -> None:
    found = refusal(commit, ingested, tmp_path, of_cases=change)
    assert re.search(rf"^probe\.cases: .*c\.parquet: {said}", found), found


def test_a_name_that_tells_no_format(commit: Commit, ingested: Committed, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^probe\.cases: .*cases: unknown file extension; use one of"):
        taken(commit, ingested, config_of(tmp_path, ["v"], "cases"))


def test_a_gap_among_top_items_is_no_fault_of_the_input_view(
    commit: Commit, ingested: Committed, tmp_path: Path
) -> None:
    vectors, cases = small(ingested)
    pq.write_table(vectors, tmp_path / "v")
    pyarrow.csv.write_csv(changed("top_item_id", 2, None)(cases), tmp_path / "c.csv")
    stored = taken(commit, ingested, config_of(tmp_path, ["v"], "c.csv", view="input"))
    (shard,) = stored.files("shards/")
    with stored.data.open_input(shard) as source:
        tops = pa.ipc.open_stream(source).read_all()["top_idx"].to_pylist()
    assert [row for row, top in enumerate(tops) if top is None] == [2]
