"""Shards: what is written is read, and vectors equal their input whatever the chunks and slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsae.schemas import base
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import RunStore

WIDTH = 3


def vectors(rows: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + rows * WIDTH, dtype=np.float32).reshape(rows, WIDTH)


def table(values: np.ndarray) -> pa.Table:
    numbers = np.arange(len(values))
    return pa.table(
        {
            **dict.fromkeys(("case_id", "user_idx", "position", "item_idx", "top_idx"), numbers),
            "part": numbers % 3,
            "activation": shards.column(values),
        }
    )


def test_one_chunk_is_not_copied_nor_is_a_slice_of_it() -> None:
    whole = table(vectors(10))
    under = whole["activation"].chunk(0).flatten().to_numpy()
    assert np.shares_memory(shards.vectors(whole), under)
    assert np.shares_memory(shards.vectors(whole.slice(2, 5)), under)


@pytest.mark.parametrize(("start", "rows"), [(0, 10), (0, 4), (3, 4), (9, 1), (4, 0)])
def test_a_slice_gives_its_own_rows(start: int, rows: int) -> None:
    values = vectors(10)
    sliced = table(values).slice(start, rows)
    np.testing.assert_array_equal(shards.vectors(sliced), values[start : start + rows])
    assert shards.vectors(sliced).dtype == np.float32
    batch = table(values).to_batches()[0].slice(start, rows)
    np.testing.assert_array_equal(shards.vectors(batch), values[start : start + rows])


@pytest.mark.parametrize(("start", "rows"), [(0, 9), (1, 7), (2, 3), (5, 4), (0, 0)])
def test_many_chunks_sliced_themselves_and_sliced_again_give_their_rows(start: int, rows: int) -> None:
    values = vectors(20)
    whole = table(values)
    pieces = pa.concat_tables([whole.slice(1, 4), whole.slice(7, 0), whole.slice(10, 2), whole.slice(17, 3)])
    assert pieces["activation"].num_chunks > 1
    expected = np.concatenate([values[1:5], values[10:12], values[17:20]])
    np.testing.assert_array_equal(shards.vectors(pieces.slice(start, rows)), expected[start : start + rows])


def test_no_rows_give_an_empty_matrix_of_the_width() -> None:
    assert shards.vectors(table(vectors(0))).shape == (0, WIDTH)
    assert shards.vectors(base.activations(WIDTH).empty_table()).shape == (0, WIDTH)


def test_a_column_takes_any_layout_and_number_type() -> None:
    values = vectors(6).astype(np.float64)[::2, ::-1]
    made = shards.column(values)
    assert made.type == pa.list_(pa.float32(), WIDTH)
    np.testing.assert_array_equal(shards.vectors(pa.table({"activation": made})), values.astype(np.float32))


def test_a_shard_round_trips_in_its_contract(tmp_path: Path) -> None:
    folder, schema = Folder(str(tmp_path)), base.activations(WIDTH)
    values = vectors(10)
    pieces = pa.concat_tables([table(values).slice(0, 6), table(values).slice(6)])
    shards.write(folder, "shards/a.arrow", pieces, schema)
    back = shards.read(folder, "shards/a.arrow")
    assert back.schema.equals(schema, check_metadata=True)
    np.testing.assert_array_equal(shards.vectors(back), values)
    assert back["case_id"].to_pylist() == list(range(10))
    with pytest.raises(pa.ArrowException):
        shards.write(folder, "shards/b.arrow", pieces, base.activations(WIDTH + 1))


def test_a_stream_gives_the_committed_shards_in_order_and_nothing_else(tmp_path: Path) -> None:
    store, schema = RunStore(str(tmp_path), "run"), base.activations(WIDTH)
    attempt = store.attempt("activations", "f", store.lease("activations", "f", 20))
    for number in (1, 0, 2):
        shards.write(attempt.data, f"shards/{number:05d}.arrow", table(vectors(2, 100 * number)), schema)
    attempt.data.put("other.json", b"{}")
    committed = store.commit("activations", attempt, {"metrics": {}})
    shards.write(attempt.data, "shards/00003.arrow", table(vectors(2, 300)), schema)
    first = [float(shards.vectors(shard)[0, 0]) for shard in shards.stream(committed)]
    assert first == [0, 100, 200]


@pytest.mark.parametrize(("view", "found"), [("recommended", [7, -1]), ("input", [1, 2])])
def test_the_view_says_which_item_a_case_has(view: str, found: list[int]) -> None:
    table = pa.table({"item_idx": pa.array([1, 2], pa.int32()), "top_idx": pa.array([7, None], pa.int32())})
    items = shards.items(table, view)
    assert items.tolist() == found and items.dtype == np.int32
