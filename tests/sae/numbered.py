"""Committed shards whose vectors begin with a running number, so that rows can be identified."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recsae.schemas.base import activations
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit

WIDTH = 4
SIZES = (70, 1, 130, 55)


def commit_shards(commit: Commit, sizes: tuple[int, ...] = SIZES, parts: int = 3) -> Committed:
    """Shards of `sizes`; row n, counted over all of them, belongs to part `n % parts`."""
    draw = np.random.default_rng(0)
    first = np.cumsum([0, *sizes])

    def write(out: Attempt) -> Metrics:
        for shard, size in enumerate(sizes):
            number = np.arange(first[shard], first[shard] + size)
            vectors = draw.normal(size=(size, WIDTH)).astype(np.float32)
            vectors[:, 0] = number
            columns = dict.fromkeys(("case_id", "user_idx", "position", "item_idx", "top_idx"), number)
            table = pa.table({**columns, "part": number % parts, "activation": shards.column(vectors)})
            shards.write(out.data, f"{shards.PREFIX}{shard}.arrow", table, activations(WIDTH))
        return {}

    return commit("activations", write)


def rows_of(sizes: tuple[int, ...], part: int = 0, parts: int = 3) -> list[int]:
    """Number of rows of one part in each shard."""
    first = np.cumsum([0, *sizes])
    return [
        sum(number % parts == part for number in range(first[shard], first[shard + 1])) for shard in range(len(sizes))
    ]
