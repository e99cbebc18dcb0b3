"""Finding items and users, in a catalogue where some ids are titles."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from recsae.errors import BadInput
from recsae.lookup.named import find_item, find_user
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import committing

ITEMS = [("Heat", "Heat"), ("Heatwave", "Heatwave"), ("7", "Ronin"), ("8", "Ronin"), ("9", "Se7en")]


@pytest.fixture
def ingested(tmp_path: Path) -> Committed:
    def write(out: Attempt) -> Metrics:
        rows = [
            {"item_idx": index, "item_id": item_id, "title": title, "popularity": 10 - index}
            for index, (item_id, title) in enumerate(ITEMS)
        ]
        out.data.write_table("items.parquet", pa.Table.from_pylist(rows))
        out.data.write_table("users.parquet", pa.Table.from_pylist([{"user_idx": 0, "user_id": "Heat"}]))
        return {}

    return committing(tmp_path)("ingest", write)


@pytest.mark.parametrize(
    ("asked", "item_id"), [("Heat", "Heat"), ("heat", "Heat"), ("wave", "Heatwave"), ("7", "7"), ("se7", "9")]
)
def test_an_id_precedes_a_title_and_a_title_a_part(ingested: Committed, asked: str, item_id: str) -> None:
    assert find_item(ingested, asked)["item_id"] == item_id


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("ronin", r"^item ronin: 2 items match: 7 \(Ronin\), 8 \(Ronin\); give the id of one$"),
        ("eat", r"^item eat: 2 items match: Heat, Heatwave; give the id of one$"),
        ("Heat wave", r"similar: Heatwave$"),
    ],
)
def test_similar_items_are_listed(ingested: Committed, asked: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        find_item(ingested, asked)


def test_a_user_is_found_by_id_alone(ingested: Committed) -> None:
    assert find_user(ingested, "Heat")["user_idx"] == 0
    with pytest.raises(BadInput, match=r"^user heat: the data has no such user, .*similar: Heat$"):
        find_user(ingested, "heat")
