"""Builds the built-in data set: `python -m recsae.data.builtin.build FOLDER`, the folder of MovieLens small 2016.

The rules are in README.md in this folder. Ingest reads the result like any other table.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
_YEAR = re.compile(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)\s*$")


def build(folder: Path) -> None:
    """Write `interactions.parquet`, `items.parquet` and `tags.parquet` beside this file."""
    ratings = _rows(folder / "ratings.csv")
    interactions = pa.table(
        {
            "user_id": [row["userId"] for row in ratings],
            "item_id": [row["movieId"] for row in ratings],
            "timestamp": pa.array([int(row["timestamp"]) for row in ratings], pa.int64()),
            "weight": pa.array([float(row["rating"]) for row in ratings], pa.float32()),
        }
    )
    given = _rows(folder / "tags.csv")
    own: dict[str, dict[str, None]] = defaultdict(dict)
    for row in given:
        own[row["movieId"]][_tag(row)] = None
    tags = pa.table(
        {
            "user_id": [row["userId"] for row in given],
            "item_id": [row["movieId"] for row in given],
            "tag": [_tag(row) for row in given],
        }
    )
    movies = _rows(folder / "movies.csv")
    years = [_YEAR.search(row["title"]) for row in movies]
    strings = pa.list_(pa.string())
    items = pa.table(
        {
            "item_id": [row["movieId"] for row in movies],
            "title": [row["title"].strip() for row in movies],
            "genres": pa.array([_genres(row["genres"]) for row in movies], strings),
            "decade": pa.array([year and f"{year[1][:3]}0s" for year in years], pa.string()),
            "tags": pa.array([sorted(own[row["movieId"]]) for row in movies], strings),
        }
    )
    for name, table in (("interactions", interactions), ("items", items), ("tags", tags)):
        pq.write_table(table, HERE / f"{name}.parquet", compression="zstd", compression_level=19)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _tag(row: dict[str, str]) -> str:
    return " ".join(row["tag"].lower().split())


def _genres(genres: str) -> list[str]:
    return [] if genres == "(no genres listed)" else genres.split("|")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
