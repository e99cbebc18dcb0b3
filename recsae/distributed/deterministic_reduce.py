"""Data-parallel gradients that are the same to the bit for any number of workers.

A global batch is cut into a fixed number of lanes. A worker computes its share of them one after the other, and the
lanes are added pairwise in a fixed tree, whose upper part runs across workers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

LANES = 8


def lane_rows(lane: int, rows: int) -> slice:
    """The rows of a global batch that a lane works on."""
    return slice(lane * rows // LANES, (lane + 1) * rows // LANES)


def seed_lane(seed: int, step: int, lane: int) -> None:
    """Seed torch for one lane of one step, so that dropout does not depend on who computes it."""
    torch.manual_seed((seed * 1_000_003 + step) * LANES + lane)


def add_lanes(value: Callable[[int], Tensor], rank: int, world: int) -> Tensor:
    """Sum of `value(lane)` over all lanes, on every worker; `value` is called for this worker's lanes only.

    Lanes are shared out among 1, 2, 4 or 8 workers, the most that there are of these. Any beyond compute the first lane
    once more, which is not added: they stand by for a worker that is lost.
    """
    at_work = min(LANES, 1 << (world.bit_length() - 1))
    share = LANES // at_work
    own = _add_tree(rank * share, (rank + 1) * share, value) if rank < at_work else value(0)
    if world == 1:
        return own
    parts = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(parts, own)
    return _add_tree(0, at_work, parts.__getitem__)


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
