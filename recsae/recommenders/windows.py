"""Training windows: stretches of each user's training events, in batches composed by the seed alone.

Memory holds a few chunks of users at a time, however many there are. It knows chunks and batches, and no model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from recsae.data.chunks import Chunk, n_chunks, read_chunk
from recsae.recommenders.contract import Histories
from recsae.schemas import SPLITS
from recsae.store.runs import Committed

CHUNKS_AT_ONCE = 8


class Batch(NamedTuple):
    """A global batch, rows by falling length so that lanes pad little; padding is `n_items`."""

    users: np.ndarray
    events: np.ndarray  # (B, L + 1): a window and the event after it

    def histories(self, rows: slice, n_items: int, device: str) -> tuple[Histories, torch.Tensor]:
        """The rows of a lane as histories and the next item at each position, cut to its longest window."""
        events = torch.from_numpy(self.events[rows]).long()
        length_B = (events != n_items).sum(1) - 1
        longest = int(length_B.max()) if len(events) else 0
        events, length_B = events[:, : longest + 1].to(device), length_B.to(device)
        inputs = events[:, :-1].clone()
        inputs[events[:, 1:] == n_items] = n_items
        return Histories(torch.from_numpy(self.users[rows]).to(device), inputs, length_B), events[:, 1:]


def batches(
    ingested: Committed, n_items: int, max_length: int, batch_size: int, seed: int, epoch: int
) -> Iterator[Batch]:
    """One pass over all training events: shuffled chunks, and within a few of them shuffled windows."""
    draw = np.random.default_rng((seed, epoch))
    order = draw.permutation(n_chunks(ingested))
    for start in range(0, len(order), CHUNKS_AT_ONCE):
        pieces = [_windows(read_chunk(ingested, int(number)), max_length) for number in order[start:][:CHUNKS_AT_ONCE]]
        lengths = np.concatenate([np.diff(offsets) for _, offsets, _ in pieces])
        users = np.concatenate([users for users, _, _ in pieces])
        items = np.concatenate([items for _, _, items in pieces])
        starts = np.cumsum(lengths) - lengths
        for picked in _slices(draw.permutation(len(lengths)), batch_size):
            picked = picked[np.argsort(-lengths[picked], kind="stable")]
            events = np.full((len(picked), max_length + 1), n_items, dtype=np.int32)
            inside = np.arange(max_length + 1) < lengths[picked, None]
            events[inside] = items[(starts[picked, None] + np.arange(max_length + 1))[inside]]
            yield Batch(users[picked], events)


def _slices(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _windows(chunk: Chunk, max_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, offsets and events of windows of up to `max_length + 1` events, cut from the end of each history.

    Neighbouring windows share one event: the last target of the one is the first input of the next.
    """
    train = chunk.splits == SPLITS.index("train")
    before = np.concatenate([[0], np.cumsum(train)])
    users: list[int] = []
    pieces: list[np.ndarray] = []
    for user, start, stop in zip(chunk.users, chunk.offsets[:-1], chunk.offsets[1:], strict=True):
        events = chunk.items[start:stop][train[start:stop]]
        end = int(before[stop] - before[start])
        while end >= 2:
            pieces.append(events[max(0, end - max_length - 1) : end])
            users.append(int(user))
            end -= max_length
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    items = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int32)
    return np.array(users, dtype=np.int64), np.concatenate([[0], np.cumsum(lengths)]), items
