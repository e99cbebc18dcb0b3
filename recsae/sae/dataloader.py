"""Batches of activations in a shuffled order that depends on the seed alone, starting at any step.

An epoch is a sequence of blocks of whole shards; the rows of a block are shuffled together. Shape suffixes: S shards, D
width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.run_store import Committed

BLOCK_FLOATS = 64_000_000
"""Approximate number of floats in a block; it bounds memory."""


class ShardBlock(NamedTuple):
    """Shards that are shuffled together, and the number of activations of the part in them."""

    epoch: int
    number: int
    shards: tuple[int, ...]
    rows: int


def shuffled_blocks(rows_S: Sequence[int], width: int, seed: int, epoch: int = 0) -> Iterator[ShardBlock]:
    """Yield blocks without end, from the start of `epoch`; each epoch has every shard once, in its own order."""
    while True:
        number, members, rows = 0, [], 0
        order = np.random.default_rng((seed, epoch)).permutation(len(rows_S))
        for place, shard in enumerate(order):
            members.append(int(shard))
            rows += rows_S[shard]
            if rows * width >= BLOCK_FLOATS or place + 1 == len(order):
                yield ShardBlock(epoch, number, tuple(members), rows)
                number, members, rows = number + 1, [], 0
        epoch += 1


def read_block(activations: Committed, block: ShardBlock, part: str, seed: int) -> np.ndarray:
    """The activations `(rows, D)` of one part in a block, shuffled by seed, epoch and block number."""
    names = activations.files(shards.PREFIX)
    found = [part_vectors(shards.read(activations.data, names[shard]), part) for shard in block.shards]
    together = found[0] if len(found) == 1 else np.concatenate(found)
    return together[np.random.default_rng((seed, block.epoch, block.number)).permutation(len(together))]


def batches(
    rows_S: Sequence[int],
    width: int,
    size: int,
    seed: int,
    step: int,
    prefetch: Callable[[ShardBlock], Callable[[], np.ndarray]],
) -> Iterator[np.ndarray]:
    """Yield global batches `(size, D)` without end, starting with that of `step`; earlier blocks are never read.

    `prefetch(block)` starts reading a block and returns a function that waits for it. The next block is prefetched
    while the current one is in use.
    """
    skip = step * size
    epoch, skip = divmod(skip, sum(rows_S))
    order = shuffled_blocks(rows_S, width, seed, epoch)
    ahead = next(order)
    while skip >= ahead.rows:
        skip -= ahead.rows
        ahead = next(order)
    pending = prefetch(ahead)
    remainder = np.empty((0, width), dtype=np.float32)
    while True:
        block = pending()[skip:]
        skip = 0
        pending = prefetch(next(order))
        first = min(size - len(remainder), len(block)) if len(remainder) else 0
        if len(remainder):
            remainder = np.concatenate([remainder, block[:first]])
            if len(remainder) < size:
                continue
            yield remainder
        stop = first + (len(block) - first) // size * size
        for start in range(first, stop, size):
            yield block[start : start + size]
        remainder = block[stop:].copy()


def part_vectors(table: pa.Table, part: str) -> np.ndarray:
    """The vectors of one part of users."""
    return np.asarray(shards.vectors(table)[table["part"].to_numpy() == PARTS.index(part)])
