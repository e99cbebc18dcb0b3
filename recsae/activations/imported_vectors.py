"""Reads files of imported activations in batches: columns `case_id` and `activation`, Parquet or Arrow IPC.

The first bytes of a file determine its format, whatever its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsae.data.sources import Source

ROWS_PER_BATCH = 4096
ID, VECTOR = "case_id", "activation"


def ids(source: Source) -> Iterator[np.ndarray]:
    """Yields all case ids, int64. Raises BadInput if the file cannot be used."""
    rows = 0
    for batch in _batches(source, [ID]):
        column = batch.column(0)
        if column.null_count:
            row = rows + 1 + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            source.refuse(f"row {row}, column {ID} is empty; fill it or leave the row out")
        rows += batch.num_rows
        try:
            yield column.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid as error:
            source.refuse(f"column {ID} holds a number beyond int64 ({error}); renumber the cases")
    if not rows:
        source.refuse("the file has no rows; fill it or leave it out")


def vectors(source: Source, width: int, first: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields case ids `(n,)` and their vectors `(n, width)`, float32. `ids` must have checked the file before.

    Raises BadInput on a vector whose width differs from that of the `first` file, and on values that are not finite.
    """
    rows = 0
    for batch in _batches(source, [ID, VECTOR]):
        column = batch.column(VECTOR)
        if column.null_count:
            at = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            source.refuse(f"row {rows + at + 1}, column {VECTOR} is empty; fill it or leave the row out")
        lengths = _lengths(column)
        if (lengths != width).any():
            at = int((lengths != width).argmax())
            source.refuse(
                f"row {rows + at + 1}, column {VECTOR} has length {lengths[at]} where the first row of {first.path} "
                f"has {width}; give vectors of one length"
            )
        with np.errstate(over="ignore"):
            flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)  # a null becomes NaN
        values = flat.reshape(-1, width)
        finite = np.isfinite(values).all(1)
        if not finite.all():
            at = int(finite.argmin())
            source.refuse(
                f"row {rows + at + 1} (case_id {batch.column(ID)[at]}), column {VECTOR} holds a value that is missing "
                f"or no finite number of 32 bits; fix it"
            )
        yield batch.column(ID).cast(pa.int64()).to_numpy(), values
        rows += batch.num_rows


def width_of(source: Source) -> int:
    """The length of the first vector."""
    lengths = (_lengths(batch.column(0)) for batch in _batches(source, [VECTOR]) if batch.num_rows)
    width = int(next(lengths)[0])
    if not width:
        source.refuse(f"row 1, column {VECTOR} has length 0; fill it")
    return width


def _lengths(column: pa.Array) -> np.ndarray:
    return np.asarray(pc.list_value_length(column).fill_null(0))


def _batches(source: Source, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yields some columns of the file, at most `ROWS_PER_BATCH` rows at a time."""
    try:
        with _open(source) as file:
            if not file.size():
                source.refuse("the file is empty; give it rows")
            start = file.read(6)
            file.seek(0)
            if start[:4] == b"PAR1":
                table = pq.ParquetFile(file)
                _check_schema(source, table.schema_arrow)
                for batch in table.iter_batches(batch_size=ROWS_PER_BATCH, columns=columns):
                    yield batch.select(columns)
                return
            reader: Iterator[pa.RecordBatch]
            if start == b"ARROW1":
                opened = pa.ipc.open_file(file)
                schema, reader = opened.schema, map(opened.get_batch, range(opened.num_record_batches))
            else:
                stream = pa.ipc.open_stream(file)
                schema, reader = stream.schema, stream
            _check_schema(source, schema)
            for batch in reader:
                for first in range(0, batch.num_rows, ROWS_PER_BATCH):
                    yield batch.select(columns).slice(first, ROWS_PER_BATCH)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        source.refuse(f"cannot be read as Parquet or Arrow ({reason}); give one of these")


@contextmanager
def _open(source: Source) -> Iterator[pa.NativeFile]:
    filesystem, path = source.location
    if source.local:  # an Arrow file may be one batch, larger than memory
        filesystem = pafs.LocalFileSystem(use_mmap=True)
    with filesystem.open_input_file(path) as file:
        yield file


def _check_schema(source: Source, schema: pa.Schema) -> None:
    for name in (ID, VECTOR):
        if name not in schema.names:
            source.refuse(f"there is no column {name} among {', '.join(schema.names)}; name it so")
    source.refuse_duplicate_columns(schema.names, (ID, VECTOR))
    if not pa.types.is_integer(schema.field(ID).type):
        source.refuse(f"column {ID} holds {schema.field(ID).type} where int64 is due; write numbers")
    kind = schema.field(VECTOR).type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not (listed and kind.value_type in (pa.float32(), pa.float64())):
        source.refuse(f"column {VECTOR} holds {kind} where a list of float32 or float64 is due; write such lists")
