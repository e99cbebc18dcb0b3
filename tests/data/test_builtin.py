"""The built-in data set matches its README, and ingest accepts it."""

from __future__ import annotations

import pyarrow.parquet as pq

from recsae.data.builtin import FOLDER
from tests.data import frames
from tests.data.conftest import Ingest


def test_it_is_what_its_readme_says() -> None:
    interactions = pq.read_table(FOLDER / "interactions.parquet").to_pandas()
    items = pq.read_table(FOLDER / "items.parquet").to_pandas()
    assert (len(interactions), interactions.user_id.nunique(), len(items)) == (100_004, 671, 9125)
    first = items.set_index("item_id").loc["1"]
    assert (first.title, first.decade, list(first.tags)) == ("Toy Story (1995)", "1990s", ["pixar"])
    tags = pq.read_table(FOLDER / "tags.parquet").to_pandas()
    assert (len(tags), tags.user_id.nunique()) == (1296, 61)
    tagged = tags.groupby("item_id").tag.agg(lambda own: sorted(set(own)))
    assert tagged.to_dict() == {row.item_id: list(row.tags) for row in items.itertuples() if len(row.tags)}
    assert "(no genres listed)" not in {genre for genres in items.genres for genre in genres}
    assert "redistribute the data set, including transformations" in (FOLDER / "README.txt").read_text()
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 2 * 2**20


def test_ingest_takes_it(run: Ingest) -> None:
    done = run(
        data={
            "interactions": [str(FOLDER / "interactions.parquet")],
            "items": [str(FOLDER / "items.parquet")],
            "columns": {"weight": "weight"},
            "tags": [str(FOLDER / "tags.parquet")],
            "attributes": {"genres": "", "decade": ""},
            "min_user_events": 5,
            "min_item_events": 5,
        }
    )
    assert done.metrics["users"] == 671
    assert frames.attributes(done, "1")["decade"] == ["1990s"]
    assert frames.attributes(done, "1")["tags"] == ["pixar"]
