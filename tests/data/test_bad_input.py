"""Every unusable input is refused in one sentence that names file, column, row and remedy."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.data.formats import input_content
from recsae.data.stage import ingest
from recsae.errors import BadInput
from recsae.store.run_store import RunStore
from tests.data import frames
from tests.data.conftest import config_of

HEAD = "user_id,item_id,timestamp"
GOOD = [HEAD, *(f"u{user},i{item},{item}" for user in range(4) for item in range(4))]
EVERY_PART = [HEAD, *(f"{user},i{item},{item}" for user in frames.USERS for item in range(4))]
ITEMS = ["item_id,title,genres", "i0,Zero,War|Art", "i1,One,Art", "i2,Two,Art"]


def refusal(folder: Path, files: dict[str, list[str]], **sections: Any) -> str:
    """The error message for these files; file names in `data` become paths."""
    for name, lines in files.items():
        (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    data = {"interactions": ["e.csv"]} | sections.pop("data", {})
    for key in ("interactions", "items"):
        data[key] = [str(folder / name) for name in data.get(key, [])]
    if "users" in data:
        data["users"] = str(folder / data["users"])
    config = config_of({"data": data, **sections})
    store = RunStore(str(folder / "store"), "test")
    attempt = store.attempt("ingest", "f", store.lease("ingest", "f", 20))

    def checksums_and_run() -> None:
        input_content(config)
        ingest(config, {}, attempt)

    with pytest.raises(BadInput) as refused:
        checksums_and_run()
    message = str(refused.value)
    assert "\n" not in message
    return message


EVENTS: list[tuple[str, list[str], dict[str, Any], str]] = [
    (
        "missing column",
        ["user_id,item_id", "u,i"],
        {},
        r"e\.csv: there is no column timestamp among user_id, item_id; set",
    ),
    ("no rows", [HEAD], {}, r"e\.csv: the table has no rows"),
    ("nothing at all", [], {}, r"e\.csv: the file is empty"),
    ("empty user", [HEAD, "u,i,1", ",i,1"], {}, r"e\.csv: row 2, column user_id is empty"),
    ("blank item", [HEAD, "u,  ,1"], {}, r"row 1, column item_id is empty"),
    ("empty time", [HEAD, "u,i,1", "u,j,"], {}, r"row 2, column timestamp is empty"),
    ("a time that is none", [HEAD, "u,i,1", "u,j,soon"], {}, r"row 2, column timestamp holds 'soon', which is not a"),
    ("an infinite time", [HEAD, "u,i,inf"], {}, r"row 1, column timestamp holds 'inf'"),
    ("times of two kinds", [HEAD, "u,i,1", "u,j,2014-02-03"], {}, r"row 2, column timestamp holds a date, but"),
    (
        "short line",
        [HEAD, "u,i,1", "u,j"],
        {},
        r"e\.csv: line 3 cannot be read \(Expected Number of Columns: 3 Found: 2",
    ),
    (
        "wrong type",
        [f"{HEAD},stars", "u,i,1,5", "u,j,2,five"],
        {"columns": {"weight": "stars"}},
        r"row 2, column stars holds 'five', which is not a number \(at most 3\.4e38\); fix it",
    ),
    ("too heavy", [f"{HEAD},w", "u,i,1,1e39"], {"columns": {"weight": "w"}}, r"row 1, column w holds '1e39'"),
    ("not a number", [f"{HEAD},w", "u,i,1,nan"], {"columns": {"weight": "w"}}, r"row 1, column w holds 'nan'"),
    ("an empty name", GOOD, {"columns": {"user_id": ""}}, r"data\.columns\.user_id is empty"),
    ("too rare", GOOD, {"min_user_events": 9}, r"min_user_events = 9 and .* leave none of 16 events; lower them"),
    (
        "too light",
        [f"{HEAD},w", "u,i,1,2"],
        {"columns": {"weight": "w"}, "min_weight": 3},
        r"data\.min_weight = 3\.0 leaves none of 1 events; lower it",
    ),
    (
        "an empty list",
        ["user_id,item_id", "u,a b", "v,"],
        {"columns": {"timestamp": ""}, "list_separator": " "},
        r"row 2, column item_id is empty",
    ),
    (
        "a list with a time",
        ["user_id,item_id", "u,a b"],
        {"list_separator": " "},
        r'no column timestamp among user_id, item_id; set data\.columns\.timestamp to one of these or to ""',
    ),
    (
        "a column twice",
        [f"{HEAD},item_id", "u,i,1,j"],
        {},
        r"e\.csv: the header names column item_id twice; rename one",
    ),
    (
        "one column for two",
        GOOD,
        {"columns": {"user_id": "item_id"}},
        r"user_id and data\.columns\.item_id are both it",
    ),
    ("no weight", GOOD, {"min_weight": 3}, r"data\.min_weight needs a weight; set data\.columns\.weight"),
    ("a part with no user", GOOD, {}, r"the part score has no users \(of 4\); give more users or another seed"),
    ("mixed line ends", [HEAD, "u,i,1\r", "u,j,2"], {}, r"e\.csv: mixed line ends; save it with one kind$"),
]


@pytest.mark.parametrize(("lines", "data", "said"), [case[1:] for case in EVENTS], ids=[case[0] for case in EVENTS])
def test_events(tmp_path: Path, lines: list[str], data: dict[str, Any], said: str) -> None:
    assert re.search(said, refusal(tmp_path, {"e.csv": lines}, data=data))


METADATA: list[tuple[str, dict[str, list[str]], dict[str, Any], str]] = [
    ("duplicate item", {"i.csv": [*ITEMS, "i1,One,Art"]}, {}, r"i\.csv: rows 2 and 4 have the same id i1; keep one"),
    ("null item", {"i.csv": [*ITEMS, ",One,Art"]}, {}, r"i\.csv: row 4, column item_id is empty"),
    ("no id", {"i.csv": ["id,title", "1,One"]}, {}, r"i\.csv: there is no column item_id among id, title"),
    ("no rows", {"i.csv": ITEMS[:1]}, {}, r"i\.csv: the table has no rows"),
    (
        "no attribute",
        {"i.csv": ITEMS},
        {"attributes": {"tags": "|"}},
        r"data\.attributes: there is no column tags in .*i\.csv, which has genres, item_id, title; name one",
    ),
    (
        "no attribute of users",
        {"i.csv": ITEMS, "u.csv": ["user_id", "u1"]},
        {"users": "u.csv", "user_attributes": {"zz": ""}},
        r"data\.user_attributes: there is no column zz in .*u\.csv",
    ),
    (
        "a column twice",
        {"i.csv": ["item_id,title,title", "i0,A,B"]},
        {},
        r"i\.csv: the header names column title twice",
    ),
    (
        "ids of another kind",
        {"i.csv": ["item_id,title", "000,A"], "e.csv": EVERY_PART},
        {},
        r"i\.csv: no row describes an item of the events, where ids look like 'i0' and here like '000'; write the same",
    ),
    (
        "a long number",
        {"i.jsonl": ['{"item_id": ' + "1" * 5000 + "}"]},
        {"items": ["i.jsonl"]},
        r"line 1 holds too long",
    ),
    ("deep", {"i.jsonl": ['{"item_id":' + "[" * 100_000]}, {"items": ["i.jsonl"]}, r"line 1 holds .* too deep"),
    ("no title", {"i.csv": ITEMS}, {"columns": {"title": "name"}}, r"data\.columns\.title: there is no column name"),
    ("wide line", {"i.csv": [*ITEMS, "i3,a,b,c"]}, {}, r"i\.csv: line 5 has 4 columns where the file has 3"),
    ("not JSON", {"i.jsonl": ['{"item_id": 1}', "{"]}, {"items": ["i.jsonl"]}, r"i\.jsonl: line 2 is not JSON"),
    ("no object", {"i.jsonl": ["[1]"]}, {"items": ["i.jsonl"]}, r"i\.jsonl: line 1 is not a JSON object"),
    (
        "nested attribute",
        {"i.jsonl": ['{"item_id": 1, "a": {"b": 1}}']},
        {"items": ["i.jsonl"], "attributes": {"a": ""}},
        r"row 1, column a holds a dict",
    ),
    ("duplicate user", {"i.csv": ITEMS, "u.csv": ["user_id", "u1", "u1"]}, {"users": "u.csv"}, r"u\.csv: rows 1 and 2"),
    (
        "attributes of nothing",
        {},
        {"items": [], "attributes": {"a": ""}},
        r"data\.attributes names column a, but the config names no file",
    ),
]


@pytest.mark.parametrize(("files", "data", "said"), [case[1:] for case in METADATA], ids=[case[0] for case in METADATA])
def test_metadata(tmp_path: Path, files: dict[str, list[str]], data: dict[str, Any], said: str) -> None:
    found = refusal(tmp_path, {"e.csv": GOOD, **files}, data={"items": ["i.csv"], **data})
    assert re.search(said, found), found


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert re.match(r"data\.interactions: no such file .*e\.csv; give", refusal(tmp_path, {}))
    assert re.match(r"data\.items: no such file", refusal(tmp_path, {"e.csv": GOOD}, data={"items": ["i.csv"]}))
    assert "unknown file extension; use one of .csv" in refusal(tmp_path, {}, data={"interactions": ["e.xlsx"]})
    assert "names no file" in refusal(tmp_path, {}, data={"interactions": []})
    assert "data.path is empty" in refusal(tmp_path, {}, data={"format": "movielens"})
    assert "no such folder" in refusal(tmp_path, {}, data={"format": "recbole", "path": str(tmp_path / "no")})
    assert "holds no ratings.dat" in refusal(tmp_path, {}, data={"format": "movielens", "path": str(tmp_path)})
    (tmp_path / "ratings.csv").touch()
    for kind in ("movielens", "recbole"):
        data = {"format": kind, "path": str(tmp_path / "ratings.csv")}
        assert "no such folder" in refusal(tmp_path, {}, data=data)
    assert "holds 0 .inter files" in refusal(tmp_path, {}, data={"format": "recbole", "path": str(tmp_path)})


def test_files_that_are_broken(tmp_path: Path) -> None:
    for name in ("e.parquet", "e.csv.gz", "e.jsonl"):
        (tmp_path / name).write_bytes(b"neither of these")
        assert name in refusal(tmp_path, {}, data={"interactions": [name]})
    lines = f"{HEAD}\nu,i,1\n"
    for held in (gzip.compress(lines.encode()), lines.encode("utf-16"), lines.encode("utf-16-le")):
        (tmp_path / "e.csv").write_bytes(held)
        said = refusal(tmp_path, {})
        assert said.endswith("e.csv: is not UTF-8 text (gzip or UTF-16?); save it as UTF-8, or name it .gz")
    (tmp_path / "e.csv").write_bytes(f"{HEAD}\nu,i,1\nu,\xff,2\n".encode("latin-1"))
    assert re.search(r"e\.csv: line 3 cannot be read \(Invalid unicode", refusal(tmp_path, {}))


def test_a_column_of_lists(tmp_path: Path) -> None:
    pd.DataFrame({"user_id": ["u"], "item_id": [["a"]], "timestamp": [1]}).to_parquet(tmp_path / "e.parquet")
    said = refusal(tmp_path, {}, data={"interactions": ["e.parquet"]})
    assert re.search(r"column item_id holds varchar\[\], expected one value", said)


def test_a_gap_in_a_column_of_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": [1.0, None], "item_id": [1, 2], "timestamp": [1, 2]})
    for name in ("gap", "nan"):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if name == "nan":
            table = table.set_column(0, "user_id", pa.array([1.0, float("nan")]))
        pq.write_table(table, tmp_path / f"{name}.parquet")
        said = refusal(tmp_path, {}, data={"interactions": [f"{name}.parquet"]})
        assert "row 2, column user_id is empty" in said


@pytest.mark.parametrize("held", [float("nan"), float("inf"), 1e30])
def test_a_float_that_is_no_time(tmp_path: Path, held: float) -> None:
    table = pa.table({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": [1.0, held]})
    pq.write_table(table, tmp_path / "e.parquet")
    said = refusal(tmp_path, {}, data={"interactions": ["e.parquet"]})
    assert f"row 2, column timestamp holds '{held}'" in said


def test_fewer_events_than_the_split_needs(tmp_path: Path) -> None:
    short = {"e.csv": [HEAD, "u,a,1", "u,b,2", "v,a,1", "v,b,2", "v,c,3"]}
    said = refusal(tmp_path, short)
    assert 'split.kind = "leave-one-out" needs 3 events of a user and user u has 2' in said
    assert "set data.min_user_events to 3 or more" in said
    few = {"e.csv": EVERY_PART}
    assert "into a split with none" in refusal(tmp_path, few, split={"kind": "time", "test": 0.01})
    assert "needs three files" in refusal(tmp_path, short, split={"kind": "given"})


def test_a_given_split_without_training_events(tmp_path: Path) -> None:
    files = {"a.csv": [HEAD, "u,a,1"], "b.csv": EVERY_PART, "c.csv": EVERY_PART}
    data = {"interactions": list(files), "min_user_events": 2}
    assert "leaves no events in train" in refusal(tmp_path, files, data=data, split={"kind": "given"})


def test_too_little_memory(tmp_path: Path) -> None:
    frames.random_events(n_events=300_000).to_csv(tmp_path / "e.csv", index=False)
    said = refusal(tmp_path, {}, data={"min_user_events": 3}, resources={"ingest_memory_gb": 0.005})
    assert "resources.ingest_memory_gb = 0.005 is too little" in said
