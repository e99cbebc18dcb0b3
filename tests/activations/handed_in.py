"""Activations and cases as a third party would hand them in, and the stage that imports them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.activations.imported_sources import imported_content
from recsae.activations.stage import write_activations
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.store.run_store import Committed
from tests.conftest import Commit

Change = Callable[[pa.Table], pa.Table]


def config_of(folder: Path, files: list[str], cases: str, **probe: Any) -> Config:
    return Config.model_validate(
        {
            "name": "test",
            "data": {"interactions": ["unread.csv"]},
            "recommender": {"kind": "given"},
            "probe": {"activations": [str(folder / name) for name in files], "cases": str(folder / cases), **probe},
        }
    )


def taken(commit: Commit, ingested: Committed, config: Config) -> Committed:
    imported_content(config)
    return commit("activations", lambda out: write_activations(config, {"ingest": ingested}, out))


def small(ingested: Committed) -> tuple[pa.Table, pa.Table]:
    """Three cases of users of each part, good as they are."""
    users = ingested.read_table("users.parquet").to_pandas()
    chosen = users.groupby("part").head(3).user_id.tolist()
    items = ingested.read_table("items.parquet")["item_id"].to_pylist()[: len(chosen)]
    ids = pa.array(range(10, 10 + len(chosen)), pa.int64())
    values = np.random.default_rng(0).normal(size=(len(chosen), 4)).astype(np.float32)
    cases = pa.table({"case_id": ids, "user_id": chosen, "item_id": items, "top_item_id": items[::-1]})
    return pa.table({"case_id": ids, "activation": pa.array(values.tolist(), pa.list_(pa.float32()))}), cases


def changed(column: str, row: int, value: Any, kind: pa.DataType | None = None) -> Change:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        place = table.schema.get_field_index(column)
        return table.set_column(place, column, pa.array(values, kind or table[column].type))

    return change


def kept(table: pa.Table) -> pa.Table:
    """No change."""
    return table


def refusal(
    commit: Commit, ingested: Committed, folder: Path, of_vectors: Change = kept, of_cases: Change = kept
) -> str:
    """The sentence that the small tables get after a change."""
    vectors, cases = small(ingested)
    pq.write_table(of_vectors(vectors), folder / "v")
    pq.write_table(of_cases(cases), folder / "c.parquet")
    with pytest.raises(BadInput) as refused:
        taken(commit, ingested, config_of(folder, ["v"], "c.parquet"))
    message = str(refused.value)
    assert "\n" not in message
    return message
