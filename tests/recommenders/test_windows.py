"""Training batches: every target once an epoch, nothing held out, decided by the seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsae.data.chunks import n_chunks, read_chunk
from recsae.recommenders import windows
from recsae.recommenders.windows import Batch, batches
from recsae.schemas import SPLITS
from recsae.store.runs import Committed

LENGTH = 5
N_ITEMS = 48


def train_events(ingested: Committed) -> dict[int, list[int]]:
    found = {}
    for number in range(n_chunks(ingested)):
        chunk = read_chunk(ingested, number)
        for user, start, stop in zip(chunk.users, chunk.offsets[:-1], chunk.offsets[1:], strict=True):
            train = chunk.splits[start:stop] == SPLITS.index("train")
            found[int(user)] = chunk.items[start:stop][train].tolist()
    return found


def epoch_of(ingested: Committed, seed: int = 0, epoch: int = 0, size: int = 16) -> list[Batch]:
    return list(batches(ingested, N_ITEMS, LENGTH, size, seed, epoch))


def test_every_training_target_is_seen_once_an_epoch(ingested: Committed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CHUNKS_AT_ONCE", 3)
    events = train_events(ingested)
    assert max(map(len, events.values())) > 2 * LENGTH  # several windows a user
    for epoch in range(2):
        seen: Counter[tuple[int, int]] = Counter()
        for batch in epoch_of(ingested, epoch=epoch):
            for user, row in zip(batch.users.tolist(), batch.events.tolist(), strict=True):
                held = [item for item in row if item != N_ITEMS]
                assert 2 <= len(held) <= LENGTH + 1 and row == held + [N_ITEMS] * (LENGTH + 1 - len(held))
                # No item twice in a planted history, so an item tells its place.
                start = events[user].index(held[0])
                assert events[user][start : start + len(held)] == held
                seen.update((user, start + place) for place in range(1, len(held)))
        assert seen == {(user, place): 1 for user, held in events.items() for place in range(1, len(held))}


def test_held_out_events_are_in_no_batch(ingested: Committed) -> None:
    """A planted user has no item twice, so the last two items of his history must never be seen with him."""
    train = train_events(ingested)
    for batch in epoch_of(ingested):
        for user, row in zip(batch.users.tolist(), batch.events.tolist(), strict=True):
            assert set(row) <= {N_ITEMS, *train[user]}


def test_batches_are_of_the_seed_and_the_epoch(ingested: Committed) -> None:
    def flat(seed: int, epoch: int) -> list[list[int]]:
        return [[*map(int, batch.users), *batch.events.ravel().tolist()] for batch in epoch_of(ingested, seed, epoch)]

    assert flat(3, 1) == flat(3, 1)
    assert flat(3, 1) != flat(3, 2)
    assert flat(3, 1) != flat(4, 1)


def test_rows_fall_in_length_and_batches_are_full(ingested: Committed) -> None:
    found = epoch_of(ingested)
    for batch in found:
        lengths = (batch.events != N_ITEMS).sum(1)
        assert (np.diff(lengths) <= 0).all()
    assert [len(batch.users) for batch in found[:-1]] == [16] * (len(found) - 1)
    assert 0 < len(found[-1].users) <= 16


def test_histories_agree_with_the_events(ingested: Committed) -> None:
    batch = epoch_of(ingested)[1]
    for rows in (slice(0, 4), slice(4, 16), slice(15, 16)):
        histories, target_BL = batch.histories(rows, N_ITEMS, "cpu")
        assert histories.user_B.tolist() == batch.users[rows].tolist()
        assert target_BL.shape == histories.items_BL.shape
        assert histories.items_BL.shape[1] == int(histories.length_B.max())
        for row, events in enumerate(batch.events[rows].tolist()):
            held = [item for item in events if item != N_ITEMS]
            length = int(histories.length_B[row])
            assert length == len(held) - 1
            rest = [N_ITEMS] * (histories.items_BL.shape[1] - length)
            assert histories.items_BL[row].tolist() == held[:-1] + rest
            assert target_BL[row].tolist() == held[1:] + rest


def test_users_with_one_training_event_give_no_window() -> None:
    chunk = windows.Chunk(
        np.array([0, 1], dtype=np.int32),
        np.array([0, 3, 6]),
        np.arange(6, dtype=np.int32),
        np.array([0, 1, 2, 0, 1, 2], dtype=np.int8),
    )
    users, offsets, items = windows._windows(chunk, LENGTH)
    assert len(users) == len(items) == 0 and offsets.tolist() == [0]
