"""Training batches: every target once per epoch, no held-out events, determined by the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.data.chunks import n_chunks, read_chunk
from recsae.recommenders import windows
from recsae.recommenders.windows import Batch, event_batches, window_batches
from recsae.schemas.base import SPLITS
from recsae.store.run_store import Committed

LENGTH = 5
Batches = Callable[[Committed, int, int], Iterator[Batch]]


def in_windows(ingested: Committed, seed: int = 0, epoch: int = 0) -> Iterator[Batch]:
    return window_batches(ingested, LENGTH, 16, seed, epoch)


def in_events(ingested: Committed, seed: int = 0, epoch: int = 0) -> Iterator[Batch]:
    return event_batches(ingested, 16, seed, epoch)


BOTH = pytest.mark.parametrize("batches", [in_windows, in_events])


def train_events(ingested: Committed) -> dict[int, list[int]]:
    found = {}
    for number in range(n_chunks(ingested)):
        chunk = read_chunk(ingested, number)
        for user, start, stop in zip(chunk.users, chunk.offsets[:-1], chunk.offsets[1:], strict=True):
            train = chunk.splits[start:stop] == SPLITS.index("train")
            found[int(user)] = chunk.items[start:stop][train].tolist()
    return found


def test_every_target_but_the_first_is_seen_once_an_epoch(ingested: Committed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CHUNKS_IN_MEMORY", 3)
    events = train_events(ingested)
    assert max(map(len, events.values())) > 2 * LENGTH  # several windows a user
    for epoch in range(2):
        seen: Counter[tuple[int, int]] = Counter()
        for batch in in_windows(ingested, epoch=epoch):
            for user, items, targets in zip(
                batch.user_B, batch.items_BL.tolist(), batch.target_BL.tolist(), strict=True
            ):
                held = sum(target >= 0 for target in targets)
                assert 1 <= held <= LENGTH
                assert items[held:] == [0] * (LENGTH - held) and targets[held:] == [-1] * (LENGTH - held)
                # No item twice in a planted history, so an item tells its place.
                start = events[user].index(items[0])
                assert items[:held] == events[user][start : start + held]
                assert targets[:held] == events[user][start + 1 : start + 1 + held]
                seen.update((user, start + place) for place in range(1, held + 1))
        assert seen == {(user, place): 1 for user, held in events.items() for place in range(1, len(held))}


def test_single_events_are_seen_once_an_epoch(ingested: Committed) -> None:
    seen = Counter(
        (user, target)
        for batch in in_events(ingested)
        for user, (target,) in zip(batch.user_B.tolist(), batch.target_BL.tolist(), strict=True)
    )
    assert seen == {(user, item): 1 for user, held in train_events(ingested).items() for item in held}


@BOTH
def test_held_out_events_are_in_no_batch(batches: Batches, ingested: Committed) -> None:
    """A planted user has no item twice, so the last two items of his history must never be seen with him."""
    train = train_events(ingested)
    for batch in batches(ingested, 0, 0):
        for user, row in zip(batch.user_B.tolist(), batch.target_BL.tolist(), strict=True):
            assert {*row} - {-1} <= {*train[user]}


@BOTH
def test_batches_are_of_the_seed_and_the_epoch(batches: Batches, ingested: Committed) -> None:
    def flat(seed: int, epoch: int) -> list[list[int]]:
        return [
            [*map(int, batch.user_B), *batch.target_BL.ravel().tolist()] for batch in batches(ingested, seed, epoch)
        ]

    assert flat(3, 1) == flat(3, 1)
    assert flat(3, 1) != flat(3, 2)
    assert flat(3, 1) != flat(4, 1)


@BOTH
def test_rows_fall_in_length_and_batches_are_full(batches: Batches, ingested: Committed) -> None:
    found = list(batches(ingested, 0, 0))
    for batch in found:
        assert (np.diff((batch.target_BL >= 0).sum(1)) <= 0).all()
    assert [len(batch.user_B) for batch in found[:-1]] == [16] * (len(found) - 1)
    assert 0 < len(found[-1].user_B) <= 16


def test_some_rows_are_cut_to_the_longest_of_them(ingested: Committed) -> None:
    batch = next(in_windows(ingested))
    for rows in (slice(0, 4), slice(4, 16), slice(15, 16), slice(3, 3)):
        cut = batch.rows(rows)
        longest = int((batch.target_BL[rows] >= 0).sum(1).max(initial=0))
        assert cut.user_B.tolist() == batch.user_B[rows].tolist()
        assert cut.items_BL.tolist() == batch.items_BL[rows, :longest].tolist()
        assert cut.target_BL.tolist() == batch.target_BL[rows, :longest].tolist()


def test_windows_share_one_event_and_end_with_the_history() -> None:
    chunk = windows.Chunk(
        np.array([4, 5, 6, 7], dtype=np.int32),
        np.array([0, 3, 6, 15, 17]),
        np.arange(17, dtype=np.int32),
        np.array([0, 1, 2] * 2 + [0] * 7 + [1, 2] + [1, 2], dtype=np.int8),
    )
    users, lengths, items = windows._windows(chunk, 4)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pieces = [items[a:b].tolist() for a, b in pairwise(offsets)]
    assert list(zip(users.tolist(), pieces, strict=True)) == [
        (4, [0]),
        (5, [3]),
        (6, [9, 10, 11, 12]),
        (6, [6, 7, 8, 9]),
    ]


def test_users_with_one_training_event_give_no_window(ingested: Committed, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = windows.Chunk(
        np.array([0], dtype=np.int32), np.array([0, 3]), np.arange(3, dtype=np.int32), np.array([0, 1, 2])
    )
    monkeypatch.setattr(windows, "read_chunk", lambda *_: chunk)
    assert list(in_windows(ingested)) == []


def test_held_out_events_are_not_even_read(ingested: Committed, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(self: Committed, name: str, *rest: Any, **named: Any) -> pa.Table:
        read.append(name)
        return whole(self, name, *rest, **named)

    whole = Committed.read_table
    monkeypatch.setattr(Committed, "read_table", noted)
    for batches in (in_windows, in_events):
        assert list(batches(ingested))
    assert len(read) == 2 * n_chunks(ingested) and all(name.startswith("interactions/train/") for name in read)
