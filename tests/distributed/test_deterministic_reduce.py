"""Lanes: the same sum to the bit for every number of workers, over real gloo groups in threads of one process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from recsae.distributed.deterministic_reduce import LANES, add_lanes, flatten, lane_rows, seed_lane, unflatten

AT_WORK = {1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 4, 8: 8, 9: 8, 11: 8}
"""Workers, and how many of them have a share of the lanes; the others stand by."""


def lane_value(lane: int) -> Tensor:
    """Values of very different sizes, so that any other order of the sum shows."""
    draw = torch.Generator().manual_seed(lane)
    return torch.randn(4096, generator=draw) * 10.0 ** torch.randint(-4, 5, (4096,), generator=draw)


def run_workers(world: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Tensor], list[list[int]]]:
    """`add_lanes` on `world` workers; their sums, and the lanes that each computed."""
    store = dist.HashStore()  # type: ignore[attr-defined]
    mine = threading.local()
    asked: list[list[int]] = [[] for _ in range(world)]

    def all_gather(parts: list[Tensor], own: Tensor) -> None:
        mine.group.allgather([parts], [own]).wait()

    def work(rank: int) -> Tensor:
        if world > 1:
            mine.group = dist.ProcessGroupGloo(store, rank, world, timedelta(seconds=30))

        def value(lane: int) -> Tensor:
            asked[rank].append(lane)
            return lane_value(lane)

        return add_lanes(value, rank, world)

    monkeypatch.setattr(dist, "all_gather", all_gather)
    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(work, range(world))), asked


def test_the_sum_is_the_same_to_the_bit_for_every_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    (alone,), _ = run_workers(1, monkeypatch)
    exact = sum((lane_value(lane).double() for lane in range(LANES)), torch.zeros(4096, dtype=torch.float64))
    torch.testing.assert_close(alone.double(), exact, rtol=1e-4, atol=1e-2)
    for world in AT_WORK:
        sums, _ = run_workers(world, monkeypatch)
        assert len(sums) == world and all(torch.equal(found, alone) for found in sums), world

    in_a_row = lane_value(0)
    for lane in range(1, LANES):
        in_a_row = in_a_row + lane_value(lane)
    assert not torch.equal(in_a_row, alone), "values for which the order matters, or the test above shows nothing"


@pytest.mark.parametrize(("world", "at_work"), AT_WORK.items())
def test_each_lane_is_added_once_and_shared_out_evenly(
    world: int, at_work: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, asked = run_workers(world, monkeypatch)
    assert [lane for lanes in asked[:at_work] for lane in lanes] == list(range(LANES))
    assert {len(lanes) for lanes in asked[:at_work]} == {LANES // at_work}
    assert asked[at_work:] == [[0]] * (world - at_work)


def test_a_lane_keeps_its_value_and_gradients_flow_through_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [torch.ones(2, requires_grad=True) for _ in range(LANES)]
    total = add_lanes(values.__getitem__, 0, 1)
    torch.autograd.backward(total.sum())
    assert all(torch.equal(value, torch.ones(2)) and torch.equal(value.grad, torch.ones(2)) for value in values)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 64, 1001])
def test_lanes_cover_every_row_once_and_evenly(rows: int) -> None:
    slices = [range(rows)[lane_rows(lane, rows)] for lane in range(LANES)]
    assert [row for part in slices for row in part] == list(range(rows))
    lengths = [len(part) for part in slices]
    assert max(lengths) - min(lengths) <= 1


def test_unflatten_is_the_inverse_of_flatten() -> None:
    tensors = [torch.randn(3, 4), torch.randn(()), torch.randn(0, 5), torch.randn(6).view(2, 3).t(), torch.randn(1)]
    vector = flatten(tensors)
    assert vector.shape == (12 + 1 + 0 + 6 + 1,)
    back = unflatten(vector, tensors)
    assert all(torch.equal(was, now) and was.shape == now.shape for was, now in zip(tensors, back, strict=True))
    back[0][0, 0] = 99.0
    assert vector[0] == 99.0, "views, not copies"


def test_draws_of_a_lane_depend_on_seed_step_and_lane_and_not_on_who_ran_before() -> None:
    def draw(seed: int, step: int, lane: int) -> float:
        seed_lane(seed, step, lane)
        return float(torch.rand(()))

    alone = draw(3, 5, 6)
    for lane in range(LANES):
        draw(3, 5, lane)
    assert draw(3, 5, 6) == alone
    keys = [(seed, step, lane) for seed in range(3) for step in range(4) for lane in range(LANES)]
    assert len({draw(*key) for key in keys}) == len(keys)
    draw(2**32 - 1, 10**6, LANES - 1)  # the largest seed that the config takes
