"""`conform`: exactly the columns, types and metadata of the contract, or an error."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.schemas import base
from recsae.schemas.base import conform

SCHEMAS = {
    value.metadata[b"recsae.table"].decode(): value
    for value in [*vars(base).values(), base.activations(4)]
    if isinstance(value, pa.Schema)
}


def interactions(**changes: object) -> pa.Table:
    columns: dict[str, object] = {
        "weight": [1.0, 2.0],
        "timestamp": [10, 20],
        "item_idx": [3, 4],
        "position": [0, 1],
        "user_idx": [0, 0],
    }
    return pa.table({**columns, **changes})


def items(attributes: pa.Array | list[object]) -> pa.Table:
    return pa.table(
        {"item_idx": [0], "item_id": ["a"], "title": ["A"], "attributes": attributes, "popularity": [1]},
    )


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_schema_carries_its_name_and_version_and_is_its_own_conformity(schema: pa.Schema) -> None:
    assert int(schema.metadata[b"recsae.version"]) >= 1
    empty = conform(schema.empty_table(), schema)
    assert empty.schema.equals(schema, check_metadata=True)


def test_columns_are_cast_put_in_order_and_no_others_kept() -> None:
    table = conform(interactions(extra=["x", "y"]), base.INTERACTIONS)
    assert table.schema.equals(base.INTERACTIONS, check_metadata=True)
    assert table.to_pylist()[1] == {"user_idx": 0, "position": 1, "item_idx": 4, "timestamp": 20, "weight": 2.0}


def test_metadata_of_the_input_gives_way_to_that_of_the_contract() -> None:
    table = interactions().replace_schema_metadata({"recsae.table": "other", "pandas": "{}"})
    assert conform(table, base.INTERACTIONS).schema.metadata == base.INTERACTIONS.metadata


def test_name_and_version_survive_parquet() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(conform(interactions(), base.INTERACTIONS), sink)
    metadata = pq.read_schema(pa.BufferReader(sink.getvalue())).metadata
    assert metadata[b"recsae.table"] == b"interactions" and metadata[b"recsae.version"] == b"1"


def test_chunks_of_unlike_lengths_are_kept_row_by_row() -> None:
    table = interactions().set_column(0, "weight", pa.chunked_array([[1.0], [2.0]]))
    assert conform(pa.concat_tables([table, table]), base.INTERACTIONS)["weight"].to_pylist() == [1, 2, 1, 2]


def test_a_null_is_refused_where_none_may_be_and_the_column_named() -> None:
    with pytest.raises(pa.ArrowInvalid, match=r"interactions\.item_idx holds 1 nulls"):
        conform(interactions(item_idx=[3, None]), base.INTERACTIONS)


def test_a_null_is_kept_where_it_may_be() -> None:
    row = {"case_id": 1, "user_idx": 0, "position": 1, "item_idx": 0, "part": "score"}
    ended = {**row, "target_idx": None, "split": None}
    assert conform(pa.Table.from_pylist([ended]), base.CASES).to_pylist() == [ended]


def test_a_shard_says_where_it_was_read() -> None:
    assert base.activations(4, "block-1").metadata[b"recsae.site"] == b"block-1"
    assert base.activations(4, "block-1").equals(base.activations(4))


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="timestamp"):
        conform(interactions().drop_columns("timestamp"), base.INTERACTIONS)


@pytest.mark.parametrize("value", [2**31, 0.5, "x"])
def test_a_value_that_does_not_fit_is_refused(value: object) -> None:
    with pytest.raises(pa.ArrowInvalid):
        conform(interactions(item_idx=[value, value]), base.INTERACTIONS)


def test_nested_attributes_are_cast_and_their_nulls_refused() -> None:
    table = conform(items([[{"name": "genre", "value": "drama"}]]), base.ITEMS)
    assert table.schema.equals(base.ITEMS, check_metadata=True)
    assert table["attributes"].to_pylist() == [[{"name": "genre", "value": "drama"}]]
    with pytest.raises(pa.ArrowInvalid):
        conform(items([[{"name": "genre", "value": None}]]), base.ITEMS)
    with pytest.raises(pa.ArrowInvalid):
        conform(items(pa.array([None], base.ATTRIBUTES)), base.ITEMS)


def test_vectors_of_another_width_are_refused() -> None:
    row = {"case_id": 1, "user_idx": 0, "position": 1, "item_idx": 0, "top_idx": 1, "part": 0, "activation": [1.0, 2.0]}
    assert conform(pa.Table.from_pylist([row]), base.activations(2)).to_pylist() == [row]
    with pytest.raises(pa.ArrowException):
        conform(pa.Table.from_pylist([row]), base.activations(3))
