"""Writes interactions and cases in one pass over the sorted events, with files for each range of users.

The pass streams from DuckDB's sort to Parquet, so its memory does not grow with the number of events.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsae.config.schema import Config
from recsae.data.filters import EVENT_ORDER, FilterSummary
from recsae.schemas.base import CASES, INTERACTIONS, SPLITS, conform
from recsae.store.run_store import Attempt

EVENTS_PER_CHUNK = 1_000_000
MIN_CHUNKS = 8
_BATCH = 500_000

# Windows without an order stream in the order of the subquery; a partition by user would sort again.
# A case at position p describes the user after p events; its target is the next event, if there is one.
_CASES_QUERY = """
SELECT user_idx, place AS position, item_idx, timestamp, weight, split, part,
    (place + 1)::INTEGER AS case_position, events - place AS distance_to_end,
    CASE WHEN place + 1 < events THEN lead(item_idx) OVER () END AS target_idx,
    CASE WHEN place + 1 < events THEN lead(split) OVER () END AS target_split,
    (md5_number_lower(user_id || ':' || (place + 1)) & 9223372036854775807)::BIGINT AS case_id
FROM (
    SELECT * REPLACE ({split} AS split)
    FROM (
        SELECT *, (row_number() OVER () - 1 - first)::INTEGER AS place
        FROM (
            SELECT user_idx, item_idx, timestamp, weight::FLOAT AS weight, split, user_id, events, first, part
            FROM events JOIN users ON users.rank = events.user JOIN items ON items.rank = events.item
            ORDER BY user_idx, {order}
        )
    )
)
"""
_LEAVE_ONE_OUT_SPLIT = "CASE events - place WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE 0 END"


@dataclass(frozen=True)
class WriteSummary:
    """Counts of the pass over the events."""

    events: dict[str, int]
    cases: int
    popularity: np.ndarray
    """`(items,)` training events."""


def chunks_for(events: int, users: int) -> int:
    """The number of chunks for so many events; at most one per user."""
    return min(users, max(MIN_CHUNKS, -(-events // EVENTS_PER_CHUNK)))


def write_events(
    connection: duckdb.DuckDBPyConnection, config: Config, filtered: FilterSummary, out: Attempt
) -> WriteSummary:
    """Write `interactions/{split}/chunk-*.parquet` and `cases/chunk-*.parquet`, sorted by user and position."""
    n_chunks = chunks_for(filtered.events, filtered.users)
    query = _CASES_QUERY.format(
        split=_LEAVE_ONE_OUT_SPLIT if config.split.kind == "leave-one-out" else "split", order=EVENT_ORDER
    )
    popularity = np.zeros(filtered.items, dtype=np.int64)
    counts: Counter[str] = Counter()
    with _ChunkFiles(out, n_chunks) as files:
        for batch in connection.sql(query).to_arrow_reader(_BATCH):
            table = pa.Table.from_batches([batch])
            users = table.column("user_idx").to_numpy().astype(np.int64)
            training = table.column("split").to_numpy() == 0
            popularity += np.bincount(table.column("item_idx").to_numpy()[training], minlength=filtered.items)
            starts = np.flatnonzero(np.diff(users * n_chunks // filtered.users, prepend=-1))
            for start, end in zip(starts, [*starts[1:], len(users)], strict=True):
                files.open_chunk(int(users[start] * n_chunks // filtered.users))
                part = table.slice(start, end - start)
                for index, split in enumerate(SPLITS):
                    counts[split] += files.write(split, part.filter(pc.equal(part.column("split"), index)))
                counts["cases"] += files.write("cases", _cases(part, config.cases.max_per_user))
    return WriteSummary({split: counts[split] for split in SPLITS}, counts["cases"], popularity)


def _cases(events: pa.Table, max_per_user: int) -> pa.Table:
    """The last `max_per_user` cases of each user."""
    recent = events.filter(pc.less_equal(events.column("distance_to_end"), max_per_user))
    names = pc.take(pa.array(SPLITS), recent.column("target_split"))
    replaced = recent.drop_columns(["position", "split"]).append_column("split", names)
    return replaced.rename_columns({"case_position": "position"})


class _ChunkFiles:
    """The open files of one chunk. Chunks are written in order, and each gets all its files, even empty ones."""

    def __init__(self, out: Attempt, n_chunks: int) -> None:
        self._out = out
        self._n_chunks = n_chunks
        self._number = -1
        self._open = ExitStack()
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error == (None, None, None):
            self.open_chunk(self._n_chunks - 1)
        self._open.close()

    def open_chunk(self, number: int) -> None:
        """Close the open files and open those of chunk `number`."""
        while self._number < number:
            self._open.close()
            self._number += 1
            name = f"chunk-{self._number:05d}.parquet"
            for split in SPLITS:
                writer = self._out.open_parquet(f"interactions/{split}/{name}", INTERACTIONS)
                self._writers[split] = self._open.enter_context(writer)
            self._writers["cases"] = self._open.enter_context(self._out.open_parquet(f"cases/{name}", CASES))

    def write(self, kind: str, table: pa.Table) -> int:
        """Append the rows to the file of a split, or to `cases`; returns how many."""
        if table.num_rows:
            self._writers[kind].write_table(conform(table, CASES if kind == "cases" else INTERACTIONS))
        return int(table.num_rows)
