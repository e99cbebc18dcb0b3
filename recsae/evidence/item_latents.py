"""Items at which each latent fires, and latents that fire at each item: exact counts over explain cases, out of core.

Each shard sums its (latent, item) pairs, and the driver merges those of all shards in a database on disk, so that
memory grows with neither users nor items. Sums are integers, so that tables do not depend on the order of the shards.
Shape suffixes: A pairs of a case and a latent that fires in it, B cases, N distinct (latent, item) pairs, I items.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from recsae.data.database import count_rows, temporary_database
from recsae.schemas.base import conform
from recsae.schemas.concepts import ITEM_LATENTS, LATENT_ITEMS
from recsae.store.run_store import Attempt

FIXED_POINT = 2**30
"""Activations are summed in fixed point, in units of 2⁻³⁰, about 10⁻⁹: as fine as float32 from 2⁻⁷ upwards, and sums up
to 2³³ fit 64 bits. Sums of floats would depend on their order."""
MIN_FOR_LIFT = 3
"""Least number of activations at an item for a rank by lift; with fewer, a lift is mostly noise."""
MIN_GB = 0.5
"""Memory with which the database works, although it spills to disk earlier than with more."""
_THREADS = 2
_MIN_PAIRS = 2**20
_MIN_ROWS = 8_000_000
_BATCH = 200_000


class ItemLatentSums(NamedTuple):
    """Sums over explain cases with a known item. The (latent, item) pairs of the `_N` arrays are distinct."""

    latent_N: np.ndarray
    item_N: np.ndarray
    activations_N: np.ndarray
    """int64 number of the item's cases in which the latent fires."""
    strength_N: np.ndarray
    """int64 Σ activation, in units of 1/FIXED_POINT."""
    item_I: np.ndarray
    cases_I: np.ndarray
    """int64 number of explain cases of each item."""


class PairAccumulator:
    """Accumulates the (latent, item) pairs of one shard; memory grows with the number of distinct pairs."""

    def __init__(self) -> None:
        nothing = np.empty(0, dtype=np.int64)
        self._pairs: list[tuple[np.ndarray, ...]] = [(nothing, nothing, nothing)]
        self._items: list[tuple[np.ndarray, ...]] = [(nothing, nothing)]
        self._retained = self._buffered = 0

    def add(self, item_B: np.ndarray, row_A: np.ndarray, latent_A: np.ndarray, activation_A: np.ndarray) -> None:
        """Add cases with their items (-1 is not counted) and the latents that fire in them."""
        known_B = item_B[item_B >= 0].astype(np.int64)
        self._items.append((known_B, np.ones_like(known_B)))
        counted_A = item_B[row_A] >= 0
        pair_A = latent_A[counted_A].astype(np.int64) << 32 | item_B[row_A[counted_A]]
        strength_A = np.rint(activation_A[counted_A].astype(np.float64) * FIXED_POINT).astype(np.int64)
        self._pairs.append((pair_A, np.ones_like(pair_A), strength_A))
        self._buffered += len(pair_A)
        if self._buffered >= max(_MIN_PAIRS, self._retained):
            self._compact()

    def total(self) -> ItemLatentSums:
        self._compact()
        ((pair_N, activations_N, strength_N),) = self._pairs
        latent_N, item_N = (pair_N >> 32).astype(np.int32), (pair_N & 0xFFFFFFFF).astype(np.int32)
        item_I, cases_I = _sum_by_key(*(np.concatenate(column) for column in zip(*self._items, strict=True)))
        return ItemLatentSums(latent_N, item_N, activations_N, strength_N, item_I.astype(np.int32), cases_I)

    def _compact(self) -> None:
        self._pairs = [_sum_by_key(*(np.concatenate(column) for column in zip(*self._pairs, strict=True)))]
        self._retained, self._buffered = len(self._pairs[0][0]), 0


class ItemLatentTables:
    """Merges the pairs of all shards, and writes the two tables made from them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._retained = self._buffered = 0
        connection.execute("CREATE TABLE pairs (latent INT, item_idx INT, activations BIGINT, strength HUGEINT)")
        connection.execute("CREATE TABLE items (item_idx INT, cases BIGINT)")

    def add(self, pairs: ItemLatentSums) -> None:
        self._insert("pairs", pairs.latent_N, pairs.item_N, pairs.activations_N, pairs.strength_N)
        self._insert("items", pairs.item_I, pairs.cases_I)
        self._buffered += len(pairs.latent_N)
        if self._buffered >= max(_MIN_ROWS, self._retained):
            self._fold()

    def write(self, out: Attempt, first: int) -> None:
        """Write `latent_items.parquet` and `item_latents.parquet`, with the first items or latents by each measure."""
        self._fold()
        for name, schema, query in (
            ("latent_items.parquet", LATENT_ITEMS, _OF_LATENTS),
            ("item_latents.parquet", ITEM_LATENTS, _OF_ITEMS),
        ):
            found = self._connection.sql(query.format(first=first, one=FIXED_POINT, least=MIN_FOR_LIFT))
            with out.open_parquet(name, schema) as writer:
                for batch in found.to_arrow_reader(_BATCH):
                    writer.write_table(conform(pa.Table.from_batches([batch]), schema))

    def _insert(self, table: str, *columns: np.ndarray) -> None:
        self._connection.register("staged", pa.table(list(columns), names=[f"c{n}" for n in range(len(columns))]))
        self._connection.execute(f"INSERT INTO {table} SELECT * FROM staged")
        self._connection.unregister("staged")

    def _fold(self) -> None:
        """Merge rows, so that there is one per pair and one per item."""
        for table, keys, sums in (
            ("pairs", "latent, item_idx", "sum(activations)::BIGINT AS activations, sum(strength) AS strength"),
            ("items", "item_idx", "sum(cases)::BIGINT AS cases"),
        ):
            self._connection.execute(f"CREATE TABLE folded AS SELECT {keys}, {sums} FROM {table} GROUP BY {keys}")
            self._connection.execute(f"DROP TABLE {table}")
            self._connection.execute(f"ALTER TABLE folded RENAME TO {table}")
        self._retained, self._buffered = count_rows(self._connection, "pairs"), 0


@contextmanager
def item_latent_tables(memory_gb: float) -> Iterator[ItemLatentTables]:
    """Yield tables in a temporary database of their own.

    The database uses an eighth of `memory_gb`, the limit for ingest, because sketches are in memory as well; or
    MIN_GB, if that is more. Raises BadInput if that is too little.
    """
    share = max(1 / 8, min(1, MIN_GB / memory_gb))
    with temporary_database(memory_gb, share) as connection:
        connection.execute(f"SET threads = {_THREADS}")  # each thread takes memory
        connection.execute("SET preserve_insertion_order = false")
        yield ItemLatentTables(connection)


_OF_LATENTS = """
WITH latents AS (SELECT latent, sum(activations)::DOUBLE AS fires FROM pairs GROUP BY latent),
    stream AS (SELECT sum(cases)::DOUBLE AS cases FROM items),
    ranked AS (
        SELECT latent, item_idx, activations, strength::DOUBLE / {one} AS strength,
            activations / fires / (items.cases / stream.cases) AS lift,
            row_number() OVER (PARTITION BY latent ORDER BY activations DESC, item_idx) - 1 AS by_activations,
            row_number() OVER (PARTITION BY latent ORDER BY pairs.strength DESC, item_idx) - 1 AS by_strength,
            CASE WHEN activations >= {least} THEN row_number() OVER (
                PARTITION BY latent, activations >= {least} ORDER BY activations / items.cases DESC, item_idx
            ) - 1 END AS by_lift
        FROM pairs JOIN items USING (item_idx) JOIN latents USING (latent), stream
    )
SELECT latent, item_idx, activations, strength, lift,
    CASE WHEN by_activations < {first} THEN by_activations END AS rank_activations,
    CASE WHEN by_strength < {first} THEN by_strength END AS rank_strength,
    CASE WHEN by_lift < {first} THEN by_lift END AS rank_lift
FROM ranked
WHERE by_activations < {first} OR by_strength < {first} OR by_lift < {first}
ORDER BY latent, item_idx
"""
_OF_ITEMS = """
SELECT item_idx, latent, place - 1 AS rank, activations, strength::DOUBLE / {one} AS strength
FROM (SELECT *, row_number() OVER (PARTITION BY item_idx ORDER BY strength DESC, latent) AS place FROM pairs)
WHERE place <= {first}
ORDER BY item_idx, place
"""


def _sum_by_key(key: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """The distinct keys in ascending order, and the sum of each value over the rows of each key."""
    if not len(key):
        return key, *values
    order = np.argsort(key)
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    return key[starts], *(np.add.reduceat(value[order], starts) for value in values)
