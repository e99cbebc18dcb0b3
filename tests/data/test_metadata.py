"""Titles and attributes: joined over files, cleaned, in the order of the config."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsae.config.loader import load
from recsae.errors import BadInput
from tests.data import frames
from tests.data.conftest import Ingest, config_of


@pytest.fixture
def events(tmp_path: Path) -> str:
    rows = (f"{user},i{item},{item}" for user in frames.USERS for item in range(4))
    return frames.write_lines(tmp_path / "e.csv", "user_id,item_id,timestamp", *rows)


def test_files_are_joined_on_the_id(tmp_path: Path, run: Ingest, events: str) -> None:
    one = frames.write_lines(
        tmp_path / "one.csv", "item_id,title,genres", "i0,Zero,War| Art |War", "i1,,Art", "i9,Nine,Art"
    )
    two = str(tmp_path / "two.parquet")
    pd.DataFrame(
        {"item_id": ["i2", "i0"], "tags": [["x"], ["b", "a", "b"]], "year": [1990.0, None], "genres": ["Art", "Sea"]}
    ).to_parquet(two)
    done = run(
        data={"interactions": [events], "items": [one, two], "attributes": {"tags": "", "genres": "|", "year": ""}}
    )
    assert frames.items(done).title.tolist() == ["Zero", "i1", "i2", "i3"]
    assert frames.attributes(done, "i0") == {"tags": ["b", "a"], "genres": ["War", "Art", "Sea"]}
    assert list(frames.attributes(done, "i0")) == ["tags", "genres"]
    assert frames.attributes(done, "i2") == {"tags": ["x"], "genres": ["Art"], "year": ["1990"]}
    assert frames.attributes(done, "i3") == {}
    assert done.metrics["items_without_row"] == 1
    assert done.metrics["items_without_title"] == 3
    assert done.metrics["items_by_attribute"] == {"tags": 2, "genres": 3, "year": 1}


def test_text_is_cleaned_and_counted(
    tmp_path: Path, run: Ingest, events: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "i.jsonl"
    rows = [
        {"item_id": "i0", "title": " A\u200b  title\n", "genres": ["ok", " \u0007", None, "e\u0301"]},
        {"item_id": "i1", "title": "\ud800", "genres": " plain "},
        {"item_id": "i2", "title": "x" * 400, "genres": "y" * 400},
        {"item_id": "i3", "title": "\ud800" + "z" * 10**7, "genres": ["\ud800", "a\u202eb"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    likes = frames.write_lines(tmp_path / "u.csv", "user_id,likes", "h2,a\u200b;b")
    with caplog.at_level("INFO"):
        done = run(
            data={
                "interactions": [events],
                "items": [str(path)],
                "attributes": {"genres": ""},
                "users": likes,
                "user_attributes": {"likes": ";"},
            }
        )
    assert frames.items(done).title.tolist() == ["A title", "i1", "x" * 300, "z" * 300]
    assert frames.attributes(done, "i0") == {"genres": ["ok", "\u00e9"]}
    assert frames.attributes(done, "i1") == {"genres": ["plain"]}
    assert frames.attributes(done, "i2") == {"genres": ["y" * 100]}
    assert frames.attributes(done, "i3") == {"genres": ["ab"]}
    assert done.metrics["cleaned"] == {"titles": 3, "titles_cut": 2, "values": 5, "values_cut": 1, "not_utf8": 3}
    said = "cleaned 3 titles and cut 2, cleaned 5 attribute values and cut 1, 3 cells not UTF-8"
    assert sum(said in line for line in caplog.messages) == 1


def test_an_id_that_does_not_show_is_no_title(tmp_path: Path, run: Ingest) -> None:
    rows = (f"{user},{item},1" for user in frames.USERS for item in ("\u202e", "b", "c"))
    done = run(data={"interactions": [frames.write_lines(tmp_path / "e.csv", "user_id,item_id,timestamp", *rows)]})
    assert frames.items(done).title.tolist() == ["b", "c", "item 2"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_several_paths_in_a_cell(tmp_path: Path, run: Ingest, events: str, kind: str) -> None:
    path = str(tmp_path / f"i.{kind}")
    held: dict[str, list[Any]] = {
        "item_id": ["i0", "i1", "i2"],
        "lists": ["A > B > C|A > D", "", " > A >  > |"],
        "nested": [[["A", "B"], ["A", "D"]], None, [["x > y"], []]],
    }
    if kind == "csv":
        held["nested"] = ["A > B|A > D", "", "x > y"]
        pd.DataFrame(held).to_csv(path, index=False)
    elif kind == "jsonl":
        held["lists"][0] = ["A > B > C", "A > D"]
        pd.DataFrame(held).to_json(path, orient="records", lines=True)
    else:
        pd.DataFrame(held).to_parquet(path)
    both = ["|", " > "]
    done = run(data={"interactions": [events], "items": [path], "attributes": {"lists": both, "nested": both}})
    assert frames.attributes(done, "i0") == {"lists": ["A", "B", "C", "D"], "nested": ["A", "B", "D"]}
    assert frames.attributes(done, "i1") == {}
    assert frames.attributes(done, "i2") == {"lists": ["A"], "nested": ["x", "y"]}


@pytest.mark.parametrize("held", [3, [], [""], ["|", 3], {"by": "|"}])
def test_separators_that_are_none(tmp_path: Path, held: object) -> None:
    toml = tmp_path / "c.toml"
    toml.write_text('name = "test"')
    said = (
        re.escape("data.attributes.genres = ") + r".*: write a separator, or several as in \[\"\|\", \" > \"\]; change"
    )
    with pytest.raises(BadInput, match=said):
        load(toml, [f"data.attributes.genres={json.dumps(held).replace(':', ' =')}"])


def test_one_separator_is_the_config_that_it_was() -> None:
    """A changed dump would change the fingerprint, and every existing run would be recomputed."""
    dumped = config_of({"data": {"attributes": {"a": "|", "b": ["|", " > "]}}}).model_dump(mode="json")["data"]
    assert dumped["attributes"] == {"a": "|", "b": ["|", " > "]}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_bytes_that_are_no_text_are_dropped_with_a_warning(
    tmp_path: Path, run: Ingest, events: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"i.{kind}"
    if kind == "csv":
        path.write_bytes(b"\xef\xbb\xbfitem_id,title\r\ni0,Mis\xffrables\r\n")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        held = pa.array([b"Mis\xffrables"]).view(pa.string())
        pq.write_table(pa.table({"item_id": ["i0"], "title": held}), path)
    done = run(data={"interactions": [events], "items": [str(path)]})
    assert frames.items(done).title[0] == "Misrables"
    assert f"1 cells of {path} are not UTF-8 text" in caplog.text


def test_a_catalogue_without_titles_is_warned_of(
    tmp_path: Path, run: Ingest, events: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = frames.write_lines(tmp_path / "i.csv", "item_id,name", "i0,Zero")
    run(data={"interactions": [events], "items": [path], "columns": {"title": ""}})
    assert "title" not in caplog.text
    run(data={"interactions": [events], "items": [path]})
    assert "no item has a title in column title of the items; set data.columns.title" in caplog.text


def test_without_items_titles_are_ids(run: Ingest, events: str) -> None:
    done = run(data={"interactions": [events]})
    assert frames.items(done).title.tolist() == ["i0", "i1", "i2", "i3"]


def test_users_and_their_attributes(tmp_path: Path, run: Ingest, events: str) -> None:
    path = frames.write_lines(tmp_path / "u.csv", "user_id,age,likes", "h2,30,a;b", "gone,1,c")
    done = run(data={"interactions": [events], "users": path, "user_attributes": {"likes": ";", "age": ""}})
    users = frames.users(done)
    assert users.user_id.tolist() == list(frames.USERS)
    assert users.events.tolist() == [4, 4, 4]
    assert [(pair["name"], pair["value"]) for pair in users.attributes[1]] == [
        ("likes", "a"),
        ("likes", "b"),
        ("age", "30"),
    ]
    assert list(users.attributes[0]) == []
