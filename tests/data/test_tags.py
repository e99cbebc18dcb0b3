"""A side table of tags: joined, summed, and rid of tags that say nothing to others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsae.config.loader import load
from recsae.data.formats import input_content
from recsae.data.tags import MIN_USERS
from recsae.errors import BadInput
from tests.data import frames
from tests.data.conftest import Ingest, config_of


@pytest.fixture
def events(tmp_path: Path) -> str:
    rows = (f"{user},i{item},{item}" for user in frames.USERS for item in range(4))
    return frames.write_lines(tmp_path / "e.csv", "user_id,item_id,timestamp", *rows)


def test_tags_become_an_attribute_the_heaviest_first(tmp_path: Path, run: Ingest, events: str) -> None:
    rows = [("i0", "Space", 1), ("i0", "robots", 3), ("i0", "space ", 1.5), ("i1", "space", 2), ("i2", "SPACE", 2)]
    rows += [("i1", "robots", 1), ("i2", "robots", 0), ("i3", "robots", 9), ("i9", "robots", 5), ("i3", "rare", 7)]
    path = tmp_path / "tags.parquet"
    pd.DataFrame(rows, columns=["item_id", "tag", "weight"]).to_parquet(path)
    items = frames.write_lines(tmp_path / "i.csv", "item_id,genres", "i0,War")
    data = {"interactions": [events], "items": [items], "attributes": {"genres": ""}, "tags": [str(path)]}
    done = run(data=data)
    assert frames.attributes(done, "i0") == {"genres": ["War"], "tags": ["robots", "space"]}
    assert frames.attributes(done, "i1") == {"tags": ["space", "robots"]}
    assert frames.attributes(done, "i2") == {"tags": ["space"]}  # robots weigh nothing
    assert frames.attributes(done, "i3") == {"tags": ["robots"]}
    assert done.metrics["tags"] == {
        "rows": 10,
        "rows_of_no_item": 1,
        "distinct": 3,
        "too_light": 1,
        "too_few_items": 1,
        "of_one_user": 0,
    }
    assert done.metrics["items_by_attribute"] == {"genres": 1, "tags": 4}
    assert done.metrics["items_without_row"] == 3

    heavy = run(data=data | {"min_tag_weight": 2})
    assert frames.attributes(heavy, "i0") == {"genres": ["War"], "tags": ["space"]}  # robots are on two items now
    assert heavy.metrics["tags"]["too_light"] == 2


def test_the_list_of_one_user_is_left_out(tmp_path: Path, run: Ingest, events: str) -> None:
    given = [("h1", item, "toplist06") for item in range(4)]
    given += [("h1", 0, "funny"), ("h2", 1, "funny"), ("h1", 2, "funny")]
    given += [("h1", item, "mine") for item in range(4)] + [("h1", 0, "mine")] * 30 + [("h2", 0, "mine")]
    path = frames.write_lines(tmp_path / "t.csv", "user_id,item_id,tag", *(f"{u},i{i},{t}" for u, i, t in given))
    done = run(data={"interactions": [events], "tags": [path]})
    assert [frames.attributes(done, f"i{item}").get("tags") for item in range(4)] == [
        ["mine", "funny"],
        ["funny", "mine"],
        ["funny", "mine"],
        ["mine"],
    ]
    assert done.metrics["tags"]["of_one_user"] == 1


def test_the_bound_is_an_entropy_over_users() -> None:
    def users(share: float) -> float:
        return math.exp(-share * math.log(share) - (1 - share) * math.log(1 - share))

    assert users(0.95) < MIN_USERS < users(0.93)


def test_tags_join_those_of_a_column(tmp_path: Path, run: Ingest, events: str) -> None:
    items = frames.write_lines(tmp_path / "i.csv", "item_id,tags", *(f"i{n},old|new" for n in range(4)))
    tags = tmp_path / "t.jsonl"
    rows = [{"item_id": f"i{n}", "label": tag, "score": 0.5} for n in range(3) for tag in ("new", "newer", "")]
    pd.DataFrame(rows).to_json(tags, orient="records", lines=True)
    done = run(
        data={
            "interactions": [events],
            "items": [items],
            "attributes": {"tags": "|"},
            "tags": [str(tags)],
            "columns": {"tag": "label", "tag_weight": "score"},
        }
    )
    assert frames.attributes(done, "i0") == {"tags": ["old", "new", "newer"]}
    assert frames.attributes(done, "i3") == {"tags": ["old", "new"]}


HEAD = "item_id,tag,weight"


@pytest.mark.parametrize(
    ("lines", "data", "said"),
    [
        (
            ["item_id,weight", "i0,1"],
            {},
            "there is no column tag among item_id, weight; rename it or set",
        ),
        (["sku,tag", "i0,a"], {}, "there is no column item_id among sku, tag; rename it or set data.columns.item_id"),
        (["item_id,tag", "i0,a"], {"columns": {"tag_weight": "n"}}, "there is no column n among item_id, tag; rename"),
        (["item_id,tag,tag", "i0,a,b"], {}, "the header names column tag twice; rename one"),
        ([HEAD, "i0,a,much"], {}, "row 1, column weight is 'much', expected a number; give one"),
        ([HEAD, "i0,a,1", "i0,b,"], {}, "row 2, column weight is '', expected a number; give one"),
        ([HEAD, "i0,a,inf"], {}, "row 1, column weight is 'inf', expected a number"),
        ([HEAD, ",a,1"], {}, "row 1, column item_id is empty; fill it or leave the row out"),
        ([HEAD], {}, "the table has no tags; fill it or leave it out of the config"),
        ([HEAD, "x0,a,1"], {}, "no row tags an item of the events, where ids look like 'i0' and here like 'x0'"),
    ],
)
def test_bad_tables_are_refused(
    tmp_path: Path, run: Ingest, events: str, lines: list[str], data: dict[str, Any], said: str
) -> None:
    path = frames.write_lines(tmp_path / "t.csv", *lines)
    with pytest.raises(BadInput) as refused:
        run(data={"interactions": [events], "tags": [path], **data})
    assert str(refused.value).startswith(f"data.tags: {path}: {said}")


def test_a_least_weight_needs_tags(run: Ingest, events: str) -> None:
    with pytest.raises(BadInput, match=r"data\.min_tag_weight needs a table of tags; name one in data\.tags"):
        run(data={"interactions": [events], "min_tag_weight": 2})


def test_tags_are_an_input_and_configs_without_them_are_recorded_as_before(tmp_path: Path, events: str) -> None:
    path = frames.write_lines(tmp_path / "t.csv", HEAD, "i0,a,1")
    config = config_of({"data": {"interactions": [events], "tags": [path]}})
    before = input_content(config)
    frames.write_lines(tmp_path / "t.csv", HEAD, "i0,b,1")
    assert {name for name, checksum in input_content(config).items() if checksum != before[name]} == {path}
    assert config.recorded()["data"]["tags"] == [path]
    plain = config_of({"data": {"interactions": [events]}}).recorded()["data"]
    assert not {"tags", "min_tag_weight"} & set(plain) and not {"tag", "tag_weight"} & set(plain["columns"])


def test_the_shared_tags_lose_their_lists(shared: Any, run: Ingest) -> None:
    folder = shared("movielens-small-2016")
    done = run(
        data={
            "interactions": [str(folder / "ratings.csv")],
            "tags": [str(folder / "tags.csv")],
            "columns": {"user_id": "userId", "item_id": "movieId"},
            "min_item_events": 5,
        }
    )
    tags = {tag for item in frames.items(done).attributes for tag in (pair["value"] for pair in item)}
    assert {"funny", "twist ending", "pixar"} <= tags
    assert tags.isdisjoint({"toplist06", "getdvd", "ei muista", "holes70s", "tivo"})
    assert done.metrics["tags"]["of_one_user"] > 20


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('name = "a"\n[data]\ntags = ["t.csv"]\nmin_tag_weight = 0.5\ncolumns.tag = "label"\n')
    data = load(path).data
    assert (data.tags, data.min_tag_weight, data.columns.tag) == (("t.csv",), 0.5, "label")
