"""Every input format, from a few lines each, and real data sets if they are beside the checkout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.data.formats import dataset, input_content
from recsae.store.run_store import Committed
from tests.data import frames
from tests.data.conftest import Ingest, config_of

LINES = ["h1,b,3,5", "h1,a,1,4", "h1,c,2,3", "h2,a,1,1", "h2,b,2,2", "h2,c,3,3.5", "h3,b,1,6", "h3,c,2,7", "h3,a,3,8"]
ORDER = {"h1": ["a", "c", "b"], "h2": ["a", "b", "c"], "h3": ["b", "c", "a"]}


def order(done: Committed) -> dict[str, list[str]]:
    events = frames.interactions(done)
    return {user: events.item_id[events.user_id == user].tolist() for user in events.user_id.unique()}


def events_file(folder: Path, name: str) -> str:
    path = folder / name
    rows = [dict(zip(["user_id", "item_id", "timestamp", "weight"], line.split(","), strict=True)) for line in LINES]
    frame = pd.DataFrame(rows).astype({"timestamp": int, "weight": float})
    compression = "gzip" if name.lower().endswith(".gz") else None
    match name.split(".")[1]:
        case "parquet":
            frame.to_parquet(path)
        case "csv":
            frame.to_csv(path, index=False, compression=compression)
        case "tsv":
            frame.to_csv(path, index=False, sep="\t", compression=compression)
        case "jsonl":
            frame.to_json(path, orient="records", lines=True, compression=compression)
    return str(path)


@pytest.mark.parametrize("as_uri", [False, True])
@pytest.mark.parametrize(
    "name", ["e.csv", "e.csv.gz", "e.csv.GZ", "e.tsv", "e.tsv.gz", "e.parquet", "e.jsonl", "e.jsonl.gz"]
)
def test_tables(tmp_path: Path, run: Ingest, name: str, as_uri: bool) -> None:
    path = events_file(tmp_path, name)
    done = run(data={"interactions": [Path(path).as_uri() if as_uri else path], "columns": {"weight": "weight"}})
    assert order(done) == ORDER
    assert sorted(frames.interactions(done).weight) == [1, 2, 3, 3.5, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (["3", "1", "2"], [1, 2, 3]),
        (["1609459200000000003", "1609459200000000001", "1609459200000000002"], None),
        (["5.5", "5.25", "5.375"], [5, 5, 5]),
        (["1e3", "1", "999.5"], [1, 999, 1000]),
        (["1970-01-02", "1970-01-01", "1970-01-01 00:00:01.5"], [0, 1_500_000, 86_400_000_000]),
        (["1970-01-01T00:00:02Z", "1970-01-01T01:00:00+01:00", "1970-01-01T00:00:01"], [0, 1_000_000, 2_000_000]),
    ],
)
def test_timestamps(tmp_path: Path, run: Ingest, written: list[str], stored: list[int] | None) -> None:
    pairs = list(zip("cab", written, strict=True))
    lines = (f"{user},{item},{time}" for user in frames.USERS for item, time in pairs)
    done = run(data={"interactions": [frames.write_lines(tmp_path / "e.csv", "user_id,item_id,timestamp", *lines)]})
    found = frames.interactions(done)
    assert found.item_id.tolist() == ["a", "b", "c"] * 3
    assert found.timestamp.tolist() == (stored or sorted(int(time) for time in written)) * 3


@pytest.mark.parametrize("kind", ["datetime64[s]", "datetime64[ns]", "datetime64[us, UTC]", "float64", "Int32"])
def test_timestamps_of_parquet(tmp_path: Path, run: Ingest, kind: str) -> None:
    users = [user for user in (4, 5, 6) for _ in range(3)]
    frame = pd.DataFrame({"user_id": users, "item_id": [30, 10, 20] * 3, "timestamp": [30, 10, 20] * 3})
    times = pd.to_datetime(frame.timestamp, unit="s", utc="UTC" in kind) if "date" in kind else frame.timestamp
    frame.assign(timestamp=times.astype(kind)).to_parquet(tmp_path / "e.parquet")
    found = frames.interactions(run(data={"interactions": [str(tmp_path / "e.parquet")]}))
    assert found.item_id.tolist() == ["10", "20", "30"] * 3
    scale = 1_000_000 if "date" in kind else 1
    assert found.timestamp.tolist() == [10 * scale, 20 * scale, 30 * scale] * 3


def test_whole_floats_are_the_ids_that_the_catalogue_has(tmp_path: Path, run: Ingest) -> None:
    users = [user for user in (4.0, 5.0, 6.0) for _ in range(3)]
    events = pd.DataFrame({"user_id": users, "item_id": [3.0, 1.0, 2.5] * 3, "timestamp": [1, 2, 3] * 3})
    events.to_parquet(tmp_path / "e.parquet")
    titles = frames.write_lines(tmp_path / "i.csv", "item_id,title", "3,Three")
    done = run(data={"interactions": [str(tmp_path / "e.parquet")], "items": [titles]})
    assert order(done) == {user: ["3", "1", "2.5"] for user in "456"}
    assert frames.items(done).title.tolist() == ["1", "2.5", "Three"]


def test_without_a_timestamp_rows_are_in_order(tmp_path: Path, run: Ingest) -> None:
    first = frames.write_lines(
        tmp_path / "2.csv", "user_id,item_id", *(f"{user},{item}" for item in "zy" for user in frames.USERS)
    )
    second = frames.write_lines(
        tmp_path / "1.csv", "user_id,item_id", *(f"{user},{item}" for user in frames.USERS for item in "xz")
    )
    done = run(data={"interactions": [first, second], "columns": {"timestamp": ""}})
    assert order(done) == {user: ["z", "y", "x", "z"] for user in frames.USERS}


@pytest.mark.parametrize("parquet", [False, True])
def test_a_line_a_user(tmp_path: Path, run: Ingest, parquet: bool) -> None:
    lists = {"h1": "c b  a", "h2": "a a c d", "h3": "a b c"}
    if parquet:
        path = str(tmp_path / "e.parquet")
        pd.DataFrame({"user": list(lists), "seen": [held.split() for held in lists.values()]}).to_parquet(path)
    else:
        path = frames.write_lines(tmp_path / "e.tsv", "user\tseen", *("\t".join(pair) for pair in lists.items()))
    titles = frames.write_lines(tmp_path / "i.jsonl", json.dumps({"item": "a", "title": "Alpha"}))
    columns = {"user_id": "user", "item_id": "seen", "timestamp": ""}
    done = run(data={"interactions": [path], "items": [titles], "columns": columns, "list_separator": " "})
    assert order(done) == {user: held.split() for user, held in lists.items()}
    assert frames.items(done).title.tolist() == ["Alpha", "b", "c", "d"]


def movielens_dat(folder: Path) -> str:
    folder.mkdir()
    with gzip.open(folder / "ratings.dat.gz", "wt") as file:
        file.write("".join(f"{4 + n % 3}::{n // 3}::{5 - n % 3}::{100 - n}\n" for n in range(12)))
    movies = '0::Misérables, Les "x" (1995)::Drama|War\n1::A::Drama\n2::B::(no genres listed)\n3::C::War\n'
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    (folder / "users.dat").write_text("4::F::25::3::00000\n5::M::35::7::11111\n")
    return str(folder)


def test_movielens_dat(tmp_path: Path, run: Ingest) -> None:
    done = run(data={"format": "movielens", "path": movielens_dat(tmp_path / "ml")})
    assert order(done) == {user: ["3", "2", "1", "0"] for user in "456"}
    assert frames.items(done).title[0] == 'Misérables, Les "x" (1995)'
    assert frames.attributes(done, "0") == {"genres": ["Drama", "War"]}
    assert frames.attributes(done, "2") == {}
    pairs = frames.users(done).attributes[0]
    assert [(pair["name"], pair["value"]) for pair in pairs] == [("gender", "F"), ("age", "25"), ("occupation", "3")]


def test_movielens_csv_with_tags(tmp_path: Path, run: Ingest) -> None:
    frames.write_lines(
        tmp_path / "ratings.csv",
        "userId,movieId,rating,timestamp",
        *(f"{user},{movie},4.0,{movie}" for user in (4, 5, 6) for movie in (10, 9, 8)),
    )
    frames.write_lines(
        tmp_path / "movies.csv", "movieId,title,genres", '8,"Eight, The",War|Drama', "9,N,War", "10,T,War"
    )
    frames.write_lines(
        tmp_path / "tags.csv",
        "userId,movieId,tag,timestamp",
        "4,8,Slow Burn,5",
        "5,8,slow  burn,6",
        "5,8,Art,7",
        "4,77,x,1",
    )
    done = run(data={"format": "movielens", "path": str(tmp_path)})
    assert order(done) == {user: ["8", "9", "10"] for user in "456"}
    assert frames.attributes(done, "8") == {"genres": ["War", "Drama"], "tags": ["slow burn", "art"]}
    only = run(data={"format": "movielens", "path": str(tmp_path), "attributes": {"tags": ""}})
    assert frames.attributes(only, "8") == {"tags": ["slow burn", "art"]}


def recbole(folder: Path, parts: tuple[str, ...] = ("",)) -> str:
    folder.mkdir()
    for number, part in enumerate(parts):
        rows = [f"{user}\t{item}\t4\t{item}" for user in frames.USERS for item in range(3 * number, 3 * number + 3)]
        frames.write_lines(
            folder / f"toy{part}.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float", *rows
        )
    frames.write_lines(
        folder / "toy.item",
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\tyear:token\tprice:float",
        '0\tThe "Big" One\tDrama War\t1999\t3',
        "1\tTwo\tWar\t2000\t4",
    )
    frames.write_lines(folder / "toy.user", "user_id:token\tage:token", "h1\t7", "h2\t8")
    return str(folder)


def test_recbole(tmp_path: Path, run: Ingest) -> None:
    path = recbole(tmp_path / "toy")
    done = run(data={"format": "recbole", "path": path, "columns": {"title": "movie_title"}})
    assert order(done) == {user: ["0", "1", "2"] for user in frames.USERS}
    assert frames.interactions(done).weight.unique().tolist() == [4]
    assert frames.items(done).title.tolist() == ['The "Big" One', "Two", "2"]
    assert frames.attributes(done, "0") == {"class": ["Drama", "War"], "year": ["1999"]}
    assert frames.users(done).attributes[0][0] == {"name": "age", "value": "7"}


def test_recbole_with_a_given_split(tmp_path: Path, run: Ingest) -> None:
    path = recbole(tmp_path / "toy", (".test", ".train", ".valid"))
    done = run(data={"format": "recbole", "path": path}, split={"kind": "given"})
    splits = frames.interactions(done).groupby("split").item_id.agg(set).to_dict()
    assert splits == {"train": {"3", "4", "5"}, "validation": {"6", "7", "8"}, "test": {"0", "1", "2"}}


def test_content_is_of_the_bytes(tmp_path: Path) -> None:
    path = events_file(tmp_path, "e.csv")
    config: Config = config_of({"data": {"interactions": [path]}})
    before = input_content(config)
    assert list(before) == [path]
    assert len(before[path]) == 64
    Path(path).write_text("user_id\n")
    assert input_content(config) != before


REAL: dict[str, tuple[dict[str, Any], str, tuple[int, int, int], str]] = {
    "ml-1m": ({"format": "movielens"}, "leave-one-out", (6040, 3706, 1_000_209), "Toy Story (1995)"),
    "ml-latest-small": ({"format": "movielens"}, "time", (610, 9724, 100_836), "Toy Story (1995)"),
    "goodbooks-10k": (
        {
            "interactions": ["ratings_5pct_users.csv.gz"],
            "items": ["books.csv.gz", "book_genres.csv.gz"],
            "columns": {"item_id": "book_id", "timestamp": "", "weight": "rating", "title": "title"},
            "attributes": {"authors": ",", "genres": ","},
        },
        "leave-one-out",
        (2672, 9990, 298_176),
        "The Hunger Games (The Hunger Games, #1)",
    ),
    "amazon-2014-office": (
        {
            "interactions": ["sequences.tsv.gz"],
            "items": ["items.jsonl.gz"],
            "columns": {"user_id": "user", "item_id": "items_in_time_order", "timestamp": ""},
            "attributes": {"brand": "", "categories": ","},
            "list_separator": " ",
        },
        "leave-one-out",
        (4905, 2420, 53_258),
        "VTECH CS6114 DECT 6.0 Cordless Phone, White/Grey, 1 Handset",
    ),
    "amazon-2014-grocery": (
        {
            "interactions": ["train.csv.gz", "dev.csv.gz", "test.csv.gz"],
            "items": ["item_meta.csv.gz"],
            "columns": {"timestamp": "time"},
            "attributes": {"i_category": ""},
        },
        "given",
        (14_681, 8713, 151_254),
        "1",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_data(name: str, run: Ingest, shared: Callable[[str], Path]) -> None:
    data, split, counts, title = REAL[name]
    folder = shared(name)
    for key in ("interactions", "items"):
        if key in data:
            data = data | {key: [str(folder / file) for file in data[key]]}
    if "format" in data:
        data = data | {"path": str(folder)}
    done = run(data=data, split={"kind": split})
    assert (done.metrics["users"], done.metrics["items"], done.metrics["events"]) == counts
    first = "0" if name == "amazon-2014-office" else "1"
    assert frames.items(done).set_index("item_id").title[first] == title
    assert len(dataset(config_of({"data": data, "split": {"kind": split}})).sources) == len(
        input_content(config_of({"data": data, "split": {"kind": split}}))
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder", "counts"),
    [
        ("office", "amazon-2014-office", (4905, 2420, 53_258)),
        ("books", "goodbooks-10k", (2672, 9147, 295_533)),
    ],
)
def test_real_data_by_the_config_of_the_jobs(
    name: str,
    folder: str,
    counts: tuple[int, int, int],
    run: Ingest,
    shared: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared(folder)
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    config = load(f"jobs/configs/{name}.toml")
    done = run(data=config.data.model_dump(mode="json"), cases=config.cases.model_dump())
    assert (done.metrics["users"], done.metrics["items"], done.metrics["events"]) == counts
    assert set(done.metrics["items_by_attribute"]) == set(config.data.attributes)
    assert all(done.metrics["items_by_attribute"].values())
