"""Events and cases as later stages read them: one contiguous range of users at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from recsae.schemas.base import SPLITS
from recsae.store.run_store import Committed


class Chunk(NamedTuple):
    """Events of one range of users in CSR form: user i has `items[offsets[i]:offsets[i + 1]]`."""

    users: np.ndarray
    """`(U,)` int32 user_idx, ascending."""
    offsets: np.ndarray
    """`(U + 1,)` int64."""
    items: np.ndarray
    """`(E,)` int32 item_idx, by user, oldest first."""
    splits: np.ndarray
    """`(E,)` int8, an index into SPLITS."""
    times: np.ndarray | None = None
    """`(E,)` int64 timestamps, where they were asked for."""


def n_chunks(ingested: Committed) -> int:
    return len(ingested.files("cases/"))


def chunk_of(ingested: Committed, user_idx: np.ndarray) -> np.ndarray:
    """The chunk of each user: writer.py cuts the users into ranges of equal size."""
    chunks: np.ndarray = user_idx.astype(np.int64) * n_chunks(ingested) // ingested.metrics["users"]
    return chunks


def read_chunk(ingested: Committed, number: int, splits: Sequence[str] = SPLITS, *, with_times: bool = False) -> Chunk:
    """Events of one range of users in the given splits; users without any are left out."""
    columns = ["user_idx", "position", "item_idx", *(["timestamp"] if with_times else [])]
    tables = [ingested.read_table(f"interactions/{split}/{_file_name(number)}", columns) for split in splits]
    codes = np.array([SPLITS.index(split) for split in splits], dtype=np.int8)
    split = np.repeat(codes, [table.num_rows for table in tables])
    events = pa.concat_tables(tables)
    user_idx, position, items, *times = (events.column(name).to_numpy() for name in columns)
    order = np.lexsort((position, user_idx))
    users, counts = np.unique(user_idx, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Chunk(users, offsets, items[order], split[order], times[0][order] if times else None)


def read_cases(ingested: Committed, number: int) -> pa.Table:
    """Cases of one range of users, sorted by user and position."""
    return ingested.read_table(f"cases/{_file_name(number)}")


def _file_name(number: int) -> str:
    return f"chunk-{number:05d}.parquet"
