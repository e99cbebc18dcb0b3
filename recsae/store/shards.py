"""Activation shards: Arrow IPC streams, one probed vector a case.

Vectors stay in Arrow; a numpy view of them copies nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.schemas.base import conform, item_column
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

PREFIX = "shards/"


def vectors(table: pa.Table | pa.RecordBatch, column: str = "activation") -> np.ndarray:
    """The vectors of a table as `(rows, d)` float32, without a copy where the table is one chunk."""
    array = table.column(column)
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    width = array.type.list_size
    return np.asarray(array.flatten()).reshape(-1, width)


def items(table: pa.Table, view: str) -> np.ndarray:
    """The item of each case that a concept of this view describes, int32; -1 where it is not known."""
    return np.asarray(pc.fill_null(table[item_column(view)], -1))


def column(values: np.ndarray) -> pa.FixedSizeListArray:
    """`(rows, d)` float32 as an Arrow column."""
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def write(folder: Folder, name: str, table: pa.Table, schema: pa.Schema) -> None:
    """Write one shard."""
    table = conform(table, schema)
    with folder.open_output(name) as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)


def read(folder: Folder, name: str) -> pa.Table:
    """One shard, whole."""
    with folder.open_input(name) as source:
        return pa.ipc.open_stream(source).read_all()


def batches(
    folder: Folder, name: str, columns: Sequence[str] | None = None, part: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The batches of one shard as they are read; with `part`, the cases of this part of the users alone."""
    with folder.open_input(name) as source:
        for batch in pa.ipc.open_stream(source):
            of_part = batch if part is None else batch.filter(pc.equal(batch.column("part"), part))
            yield of_part if columns is None else of_part.select(list(columns))


def stream(activations: Committed) -> Iterator[pa.Table]:
    """All shards in order, one in memory at a time."""
    for name in activations.files(PREFIX):
        yield read(activations.data, name)
