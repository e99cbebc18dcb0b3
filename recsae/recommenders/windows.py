"""Training batches: windows of each user's training events, or single events, shuffled by the seed alone.

Only CHUNKS_IN_MEMORY chunks of users are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from recsae.data.chunks import Chunk, n_chunks, read_chunk
from recsae.schemas.base import SPLITS
from recsae.store.run_store import Committed

CHUNKS_IN_MEMORY = 8


class Batch(NamedTuple):
    """A global batch, its rows sorted by decreasing length to reduce the padding of lanes."""

    user_B: np.ndarray
    items_BL: np.ndarray
    """The item before each target, padded with 0."""
    target_BL: np.ndarray
    """Padded with -1."""
    taken: np.ndarray | None = None
    """Ascending keys `user_idx << 32 | item_idx` of the training events of these users and others, if negatives must
    be items that the user has not interacted with."""

    def rows(self, rows: slice) -> Batch:
        """Some of the rows, trimmed to the longest of them."""
        longest = int((self.target_BL[rows] >= 0).sum(1).max(initial=0))
        return Batch(self.user_B[rows], self.items_BL[rows, :longest], self.target_BL[rows, :longest])


def window_batches(ingested: Committed, max_length: int, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """One epoch of windows, `batch_size` per batch, in which every training event but each user's first is a target.

    Chunks are shuffled, and windows are shuffled within a few chunks.
    """
    for chunks, draw in _shuffled(ingested, seed, epoch):
        pieces = [_windows(chunk, max_length + 1) for chunk in chunks]
        users, lengths, items = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
        starts = np.cumsum(lengths) - lengths
        for picked in _slices(draw.permutation(np.flatnonzero(lengths > 1)), batch_size):
            picked = picked[np.argsort(-lengths[picked], kind="stable")]
            place = np.arange(max_length)
            inside = place < lengths[picked, None] - 1
            source = (starts[picked, None] + place)[inside]
            items_BL = np.zeros(inside.shape, dtype=np.int32)
            target_BL = np.full(inside.shape, -1, dtype=np.int32)
            items_BL[inside], target_BL[inside] = items[source], items[source + 1]
            yield Batch(users[picked], items_BL, target_BL)


def event_batches(ingested: Committed, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """One epoch of single training events, for models with one vector per user."""
    for chunks, draw in _shuffled(ingested, seed, epoch):
        user, items = (np.concatenate(columns) for columns in zip(*map(training_pairs, chunks), strict=True))
        taken = np.sort(pair_keys(user, items))
        for picked in _slices(draw.permutation(len(items)), batch_size):
            yield Batch(user[picked], np.zeros((len(picked), 1), dtype=np.int32), items[picked, None], taken)


def pair_keys(user_idx: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
    """One int64 key per pair of user and item."""
    return np.asarray(user_idx.astype(np.int64) << 32 | item_idx)


def training_pairs(chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
    """User and item of every training event."""
    train = chunk.splits == SPLITS.index("train")
    return np.repeat(chunk.users, np.diff(chunk.offsets))[train], chunk.items[train]


def _shuffled(ingested: Committed, seed: int, epoch: int) -> Iterator[tuple[list[Chunk], np.random.Generator]]:
    """Yields all chunks in random order, a few at a time, with the generator for further shuffling."""
    draw = np.random.default_rng((seed, epoch))
    order = draw.permutation(n_chunks(ingested))
    for start in range(0, len(order), CHUNKS_IN_MEMORY):
        taken = order[start:][:CHUNKS_IN_MEMORY]
        yield [read_chunk(ingested, int(number), ("train",)) for number in taken], draw


def _slices(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _windows(chunk: Chunk, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, lengths and events of windows of up to `longest` training events, cut from the end of each history.

    Adjacent windows share one event: the last target of one is the first input of the next.
    """
    train = chunk.splits == SPLITS.index("train")
    before = np.concatenate([[0], np.cumsum(train)])
    first, end = before[chunk.offsets[:-1]], before[chunk.offsets[1:]]
    # A history of n events has ceil((n - 1) / step) windows, at least one if it has events at all.
    step = longest - 1
    count = np.maximum(-(-(end - first - 1) // step), (end > first).astype(np.int64))
    owner = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
    stops = end[owner] - number * step
    starts = np.maximum(first[owner], stops - longest)
    lengths = stops - starts
    place = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    return chunk.users[owner], lengths, chunk.items[train][place]
