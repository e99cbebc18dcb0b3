"""The order in which activations are seen: blocks of whole shards, shuffled, epoch after epoch, from any step on.

The order is of the seed alone. It knows how many activations of the part each shard holds; not who reads the blocks, or
how many SAEs learn from them.
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
"""About so many numbers are shuffled together: a bound on memory."""


class ShardBlock(NamedTuple):
    """Shards that are shuffled together, and how many activations of the part they hold."""

    epoch: int
    number: int
    shards: tuple[int, ...]
    rows: int


def blocks(rows_S: Sequence[int], width: int, seed: int, epoch: int = 0) -> Iterator[ShardBlock]:
    """Endless, from the beginning of an epoch; each epoch has every shard once, in an order of its own."""
    while True:
        number, taken, rows = 0, [], 0
        order = np.random.default_rng((seed, epoch)).permutation(len(rows_S))
        for place, shard in enumerate(order):
            taken.append(int(shard))
            rows += rows_S[shard]
            if rows * width >= BLOCK_FLOATS or place + 1 == len(order):
                yield ShardBlock(epoch, number, tuple(taken), rows)
                number, taken, rows = number + 1, [], 0
        epoch += 1


def read_block(activations: Committed, block: ShardBlock, part: str, seed: int) -> np.ndarray:
    """The activations `(rows, D)` of one part in a block, shuffled."""
    names = activations.files(shards.PREFIX)
    found = [of_part(shards.read(activations.data, names[shard]), part) for shard in block.shards]
    together = found[0] if len(found) == 1 else np.concatenate(found)
    return together[np.random.default_rng((seed, block.epoch, block.number)).permutation(len(together))]


def batches(
    rows_S: Sequence[int],
    width: int,
    size: int,
    seed: int,
    step: int,
    ask: Callable[[ShardBlock], Callable[[], np.ndarray]],
) -> Iterator[np.ndarray]:
    """Endless global batches `(size, D)`, the first being that of `step`; blocks before it are never read.

    `ask(block)` begins to read a block and returns what waits for it: the next one is asked for while one is in use.
    """
    skip = step * size
    epoch, skip = divmod(skip, sum(rows_S))
    plan = blocks(rows_S, width, seed, epoch)
    ahead = next(plan)
    while skip >= ahead.rows:
        skip -= ahead.rows
        ahead = next(plan)
    waiting = ask(ahead)
    rest = np.empty((0, width), dtype=np.float32)
    while True:
        block = waiting()[skip:]
        skip = 0
        waiting = ask(next(plan))
        first = min(size - len(rest), len(block)) if len(rest) else 0
        if len(rest):
            rest = np.concatenate([rest, block[:first]])
            if len(rest) < size:
                continue
            yield rest
        whole = first + (len(block) - first) // size * size
        for start in range(first, whole, size):
            yield block[start : start + size]
        rest = block[whole:].copy()


def of_part(table: pa.Table, part: str) -> np.ndarray:
    """The vectors of one part of users."""
    return np.asarray(shards.vectors(table)[table["part"].to_numpy() == PARTS.index(part)])
