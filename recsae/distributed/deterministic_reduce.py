"""Bitwise reproducible data-parallel gradients for any number of workers.

A global batch is split into a fixed number of lanes. Each worker computes its lanes one by one, and lanes are summed
pairwise in a fixed tree whose upper levels run across workers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

LANES = 8


def lane_rows(lane: int, rows: int) -> slice:
    """The rows of a global batch that belong to a lane."""
    return slice(lane * rows // LANES, (lane + 1) * rows // LANES)


def seed_lane(seed: int, step: int, lane: int) -> None:
    """Seed torch for one lane of one step, so that dropout does not depend on the worker that computes it."""
    torch.manual_seed((seed * 1_000_003 + step) * LANES + lane)


def add_lanes(value: Callable[[int], Tensor], rank: int, world: int) -> Tensor:
    """Sum of `value(lane)` over all lanes, on every worker; `value` is called for this worker's lanes only.

    Lanes are split over the largest of 1, 2, 4 or 8 workers available. Surplus workers compute lane 0 again, which is
    not added; they are spares for lost workers.
    """
    active = min(LANES, 1 << (world.bit_length() - 1))
    share = LANES // active
    local = _add_tree(rank * share, (rank + 1) * share, value) if rank < active else value(0)
    if world == 1:
        return local
    parts = [torch.empty_like(local) for _ in range(world)]
    dist.all_gather(parts, local)
    return _add_tree(0, active, parts.__getitem__)


def _add_tree(start: int, stop: int, value: Callable[[int], Tensor]) -> Tensor:
    if stop - start == 1:
        return value(start)
    middle = (start + stop) // 2
    return _add_tree(start, middle, value) + _add_tree(middle, stop, value)


def flatten(tensors: list[Tensor]) -> Tensor:
    """One vector of all values, in order."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unflatten(vector: Tensor, like: list[Tensor]) -> list[Tensor]:
    """The inverse of `flatten`: views of `vector` in the shapes of `like`."""
    pieces = torch.split(vector, [tensor.numel() for tensor in like])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, like, strict=True)]
