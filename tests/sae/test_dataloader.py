"""The order of activations: every epoch covers the part, and training can resume at any step, for any blocks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from recsae.sae import dataloader
from recsae.sae.dataloader import ShardBlock, batches, part_vectors, read_block, shuffled_blocks
from recsae.schemas.base import PARTS
from recsae.store import shards
from tests.conftest import Commit
from tests.sae.numbered import SIZES, WIDTH, commit_shards, rows_of

SHARDS = (
    (30,),
    (7, 7, 7, 7),
    (0, 5, 0, 0, 12, 3, 0),  # some without rows of the part
    (1, 1, 1, 0, 1, 0, 0, 0),
    (100, 1, 0, 40),
)
BLOCKS = (1, 9 * WIDTH, 41 * WIDTH, 10**6)
"""Floats in a block: one shard, a few, most, all."""


@pytest.fixture(params=BLOCKS)
def block_floats(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(dataloader, "BLOCK_FLOATS", request.param)
    floats: int = request.param
    return floats


class Reader:
    """Blocks of numbered rows, as far as they were requested; row n of all shards begins with n."""

    def __init__(self, rows_S: Sequence[int]) -> None:
        self.first = np.cumsum([0, *rows_S])
        self.asked: list[ShardBlock] = []
        self.read: list[ShardBlock] = []

    def prefetch(self, block: ShardBlock) -> Callable[[], np.ndarray]:
        self.asked.append(block)

        def wait() -> np.ndarray:
            self.read.append(block)
            number = np.concatenate([np.arange(*self.first[shard : shard + 2]) for shard in block.shards])
            assert len(number) == block.rows
            order = np.random.default_rng((1, block.epoch, block.number)).permutation(block.rows)
            rows = np.repeat(number[order, None], WIDTH, 1).astype(np.float32)
            rows.flags.writeable = False  # as from an object store
            return rows

        return wait


def told(rows_S: Sequence[int], size: int, steps: int, first: int = 0, seed: int = 0) -> list[list[int]]:
    """The numbers in batches `first` to `first + steps`; every batch must be full."""
    source = batches(rows_S, WIDTH, size, seed, first, Reader(rows_S).prefetch)
    found = list(itertools.islice(source, steps))
    assert {(batch.shape, str(batch.dtype)) for batch in found} == {((size, WIDTH), "float32")}
    return [batch[:, 0].astype(int).tolist() for batch in found]


@pytest.mark.parametrize("rows_S", SHARDS)
@pytest.mark.parametrize("size", [1, 4, 17, 200])
def test_an_epoch_covers_every_row_once(rows_S: tuple[int, ...], size: int, block_floats: int) -> None:
    total = sum(rows_S)
    rows = list(itertools.chain(*told(rows_S, size, -(-4 * total // size))))
    epochs = [rows[epoch * total : (epoch + 1) * total] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(total)) for epoch in epochs)
    assert total < 5 or epochs[0] != epochs[1] != epochs[2], "each epoch has an order of its own"


@pytest.mark.parametrize("rows_S", SHARDS)
@pytest.mark.parametrize("size", [1, 4, 17, 200])
def test_any_step_can_be_gone_on_from(rows_S: tuple[int, ...], size: int, block_floats: int) -> None:
    steps = min(40, 4 * sum(rows_S) // size + 3)
    undisturbed = told(rows_S, size, steps)
    for first in range(steps):
        assert told(rows_S, size, steps - first, first) == undisturbed[first:], first


def test_each_epoch_takes_the_shards_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataloader, "BLOCK_FLOATS", 1)
    rows_S = [10] * 12
    first, second, later = (
        [block.shards for block in itertools.islice(shuffled_blocks(rows_S, WIDTH, 0, epoch), 12)]
        for epoch in (0, 1, 1)
    )
    assert first != second == later and sorted(first) == sorted(second)
    assert [block.shards for block in itertools.islice(shuffled_blocks(rows_S, WIDTH, 1), 12)] != first


def test_batches_are_of_the_seed(block_floats: int) -> None:
    assert told((7, 7, 7, 7), 5, 9, seed=1) == told((7, 7, 7, 7), 5, 9, seed=1)
    assert told((7, 7, 7, 7), 5, 9, seed=1) != told((7, 7, 7, 7), 5, 9, seed=2)


def test_a_batch_stays_as_it_was_when_the_next_is_read() -> None:
    rows_S = (9, 4, 6)
    found, copies = [], []
    for batch in itertools.islice(batches(rows_S, WIDTH, 8, 0, 0, Reader(rows_S).prefetch), 12):
        found.append(batch)
        copies.append(batch.copy())
    np.testing.assert_array_equal(found, copies)


def test_the_next_block_is_asked_for_while_one_is_in_use_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataloader, "BLOCK_FLOATS", 1)
    rows_S = (10, 10, 10)
    reader = Reader(rows_S)
    source = batches(rows_S, WIDTH, 5, 0, 0, reader.prefetch)
    for step in range(20):
        next(source)
        assert len(reader.read) == step // 2 + 1 and len(reader.asked) == len(reader.read) + 1
    assert reader.asked[:-1] == reader.read == list(itertools.islice(shuffled_blocks(rows_S, WIDTH, 0), 10))


@pytest.mark.parametrize(("step", "before"), [(0, 0), (1, 0), (2, 1), (5, 2), (6, 3), (7, 3), (600, 300)])
def test_blocks_before_the_step_are_never_read(step: int, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataloader, "BLOCK_FLOATS", 1)
    rows_S = (10, 10, 10)
    reader = Reader(rows_S)
    next(batches(rows_S, WIDTH, 5, 0, step, reader.prefetch))
    undisturbed = list(itertools.islice(shuffled_blocks(rows_S, WIDTH, 0), before + 2))
    assert reader.asked == undisturbed[before:] and reader.read == undisturbed[before : before + 1]


def test_blocks_are_no_larger_than_they_must_be(block_floats: int) -> None:
    rows_S = (0, 5, 0, 0, 12, 3, 30, 8)
    found = list(itertools.takewhile(lambda block: block.epoch < 3, shuffled_blocks(rows_S, WIDTH, 0)))
    for epoch, of_epoch in itertools.groupby(found, lambda block: block.epoch):
        stop = list(of_epoch)
        assert [block.number for block in stop] == list(range(len(stop)))
        assert sorted(itertools.chain(*(block.shards for block in stop))) == list(range(len(rows_S))), epoch
        for block in stop:
            assert block.rows == sum(rows_S[shard] for shard in block.shards)
            assert (block.rows - rows_S[block.shards[-1]]) * WIDTH < block_floats
        assert all(block.rows * WIDTH >= block_floats for block in stop[:-1])


@pytest.mark.parametrize("part", range(3))
def test_a_block_is_read_from_its_shards_and_shuffled(commit: Commit, part: int) -> None:
    stored, rows_S = commit_shards(commit), rows_of(SIZES, part)
    (stop,) = itertools.takewhile(lambda block: block.epoch < 1, shuffled_blocks(rows_S, WIDTH, 0))
    by_epoch = []
    for block in (stop, stop._replace(epoch=1), ShardBlock(0, 3, (2, 0), rows_S[2] + rows_S[0])):
        vectors = read_block(stored, block, PARTS[part], 5)
        wanted = [
            number
            for shard in block.shards
            for number in range(sum(SIZES[:shard]), sum(SIZES[: shard + 1]))
            if number % 3 == part
        ]
        numbers = vectors[:, 0].astype(int).tolist()
        assert vectors.dtype == np.float32 and sorted(numbers) == sorted(wanted) and numbers != wanted
        np.testing.assert_array_equal(vectors, read_block(stored, block, PARTS[part], 5))
        by_epoch.append(numbers)
    assert by_epoch[0] != by_epoch[1]
    assert not np.array_equal(read_block(stored, stop, PARTS[part], 6)[:, 0], by_epoch[0])


def test_batches_of_committed_shards_hold_the_part_and_no_other(commit: Commit, block_floats: int) -> None:
    sizes = (5, 1, 1, 4, 1)  # the second and third have no row of the first part
    stored, rows_S = commit_shards(commit, sizes), rows_of(sizes)
    assert rows_S == [2, 0, 1, 1, 0]
    source = batches(rows_S, WIDTH, 7, 0, 0, lambda block: lambda: read_block(stored, block, "explain", 0))
    rows = np.concatenate(list(itertools.islice(source, 4)))
    counts = Counter(rows[:, 0].astype(int).tolist())
    assert counts == dict.fromkeys((0, 3, 6, 9), 7), "7 epochs of 4 rows"


def test_vectors_of_a_part_keep_their_order() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    table = pa.table({"part": [0, 1, 0, 2, 1, 0], "activation": shards.column(vectors)})
    assert part_vectors(table, "explain")[:, 0].tolist() == [0, 4, 10]
    assert part_vectors(table, "score").tolist() == [[6, 7]]
    assert part_vectors(table.slice(1, 3), "select").tolist() == [[2, 3]]
