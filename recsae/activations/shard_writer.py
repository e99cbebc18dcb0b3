"""Writes cases with their vectors as shards of about equal size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.config.recommender import ProbeConfig
from recsae.schemas import base
from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.filesystem import Folder


class ShardWriter:
    """Writes the shards of one unit of work; names derive from the unit, so a retry writes the same files."""

    def __init__(self, out: Folder, unit: str, width: int, config: ProbeConfig) -> None:
        self.out, self.unit = out, unit
        self.schema = base.activations(width, config.site)
        self.limit = rows_per_shard(width, config.shard_mib)
        self.pending: list[pa.Table] = []
        self.counts = {"cases": 0, "shards": 0, **dict.fromkeys(PARTS, 0)}

    def add(self, table: pa.Table) -> None:
        self.pending.append(table)
        if sum(part.num_rows for part in self.pending) >= self.limit:
            self._write()

    def close(self) -> dict[str, int]:
        """Cases and shards written, and the cases by part."""
        if self.pending:
            self._write()
        return self.counts

    def _write(self) -> None:
        table = pa.concat_tables(self.pending)
        self.pending = []
        if not table.num_rows:
            return
        name = f"{shards.PREFIX}{self.unit}-{self.counts['shards']:03d}.arrow"
        shards.write(self.out, name, table, self.schema)
        self.counts["cases"] += table.num_rows
        self.counts["shards"] += 1
        for part, cases in zip(PARTS, np.bincount(table["part"].to_numpy(), minlength=len(PARTS)), strict=True):
            self.counts[part] += int(cases)


def rows_per_shard(width: int, shard_mib: int) -> int:
    """Number of cases whose vector, ids and part fill `shard_mib` MiB; at least 1."""
    return max(1, shard_mib * 2**20 // (4 * width + 32))


def part_codes(names: pa.ChunkedArray) -> np.ndarray:
    """Indices into PARTS, int8, for names of parts."""
    return np.asarray(pc.index_in(names, pa.array(PARTS)), dtype=np.int8)
