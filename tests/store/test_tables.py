"""Tables that a run may lack, and filters by ids."""

from __future__ import annotations

import pyarrow as pa
import pytest

from recsae.schemas.base import table_schema
from recsae.store.run_store import Attempt, Metrics
from recsae.store.tables import among, table_if_there
from tests.conftest import Commit

SCHEMA = table_schema("t", 1, pa.field("latent", pa.int32()), pa.field("name", pa.string()))


def test_rows_and_columns_of_what_is_there_and_none_of_what_is_not(commit: Commit) -> None:
    rows = pa.table({"latent": [0, 1, 2], "name": ["a", "b", "c"]})

    def write(out: Attempt) -> Metrics:
        out.write_table("t.parquet", rows, SCHEMA)
        return {}

    made = commit("labels", write)
    found = table_if_there(made, "t.parquet", ("name",), among("latent", [2, 0, 2, 9]))
    assert found is not None and found.to_pydict() == {"name": ["a", "c"]}
    none = table_if_there(made, "t.parquet", None, among("name", ["d"], pa.string()))
    assert none is not None and none.num_rows == 0 and none.column_names == SCHEMA.names
    assert table_if_there(made, "u.parquet") is None and table_if_there(None, "t.parquet") is None


@pytest.mark.parametrize("values", [[1, 2], {2, 1}, (2, 1, 1), pa.array([1, 2], pa.int32())])
def test_a_filter_takes_any_collection(values: list[int]) -> None:
    assert among("latent", values).equals(among("latent", [1, 2]))
