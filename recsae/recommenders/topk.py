"""Ranks and top-k items over the whole catalogue, computed on one block of scores at a time.

A block holds the scores of a few users for a range of items, so the matrix of users and items is never in memory. Seen
items are masked in the block, and counts overwrite it, so that no second block is allocated. Shape suffixes: see
base.py; R users of a block, k top items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

ROWS_PER_BLOCK = 256
"""Users of a block."""
MIN_ROWS = 4
"""Blocks are padded to so many rows: products of fewer rows may round the scores of equal items differently."""
SCORES_PER_BLOCK = 4_000_000
"""Scores of a block: a bound on memory; catalogues of up to 15,000 items are one block."""


class Scorer(Protocol):
    """Anything that scores items: a recommender, or one with an edit applied."""

    @property
    def n_items(self) -> int: ...

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor: ...


@torch.inference_mode()
def ranks(model: Scorer, u_XU: Tensor, seen: Sequence[np.ndarray], target_X: np.ndarray) -> np.ndarray:
    """The rank `(X,)` of each target: 1 + the other unseen items whose score is not lower.

    Ties and NaN count against the model; the target is ranked even if it was seen. Its score comes from the same
    product as the scores it is compared with, and blocks have one shape, so items with equal vectors tie to the bit.
    """
    found = np.empty(len(u_XU), dtype=np.int64)
    for rows in _slices(len(u_XU)):
        scan = _BlockScores(model, u_XU[rows])
        target_R1 = torch.from_numpy(target_X[rows].astype(np.int64))[:, None].to(u_XU.device)
        score_R1 = scan.at(target_R1)
        # The target is masked too, so that only other items are counted.
        hidden = _SeenMask(seen[rows], u_XU.device, target_R1)
        less_R = torch.zeros(len(target_R1), dtype=torch.int64, device=u_XU.device)
        for start, stop in reversed(scan.ranges):  # at() ended with the last: a single block is multiplied once
            less_R += hidden.mask(scan.take(start, stop), start).lt_(score_R1).sum(1, dtype=torch.float32).long()
        found[rows] = (model.n_items - less_R + 1).cpu().numpy()
        # What is masked is not below NaN or minus infinity, and was counted; nor is any other item.
        for row in (~(score_R1[:, 0] > -torch.inf)).nonzero()[:, 0].tolist():
            place = rows.start + row
            found[place] = model.n_items - len(np.union1d(seen[place], target_X[place : place + 1])) + 1
    return found


@torch.inference_mode()
def sampled_ranks(model: Scorer, u_XU: Tensor, target_X: np.ndarray, negative_XM: np.ndarray) -> np.ndarray:
    """The rank `(X,)` of each target among its own M negatives alone; ties and NaN count against the model."""
    item_XM = np.concatenate([target_X[:, None], negative_XM], axis=1).astype(np.int64)
    found = np.empty(len(u_XU), dtype=np.int64)
    for rows in _slices(len(u_XU)):
        score_RM = _BlockScores(model, u_XU[rows]).at(torch.from_numpy(item_XM[rows]).to(u_XU.device))
        found[rows] = (~(score_RM[:, 1:] < score_RM[:, :1])).sum(1).cpu().numpy() + 1
    return found


@torch.inference_mode()
def top_k(model: Scorer, u_XU: Tensor, seen: Sequence[np.ndarray], k: int) -> np.ndarray:
    """The unseen items `(X, k)` with the highest scores, int32, best first.

    Missing ones are -1; items with a score of NaN or minus infinity are not recommended.
    """
    found = np.empty((len(u_XU), k), dtype=np.int32)
    for rows in _slices(len(u_XU)):
        scan, hidden = _BlockScores(model, u_XU[rows]), _SeenMask(seen[rows], u_XU.device)
        best_Rk = u_XU.new_full((scan.rows, k), -torch.inf)
        item_Rk = torch.full_like(best_Rk, -1, dtype=torch.int64)
        for start, stop in scan.ranges:
            block_Rn = hidden.mask(scan.take(start, stop), start)
            block_Rn.nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
            here = block_Rn.topk(min(k, stop - start))
            both = torch.cat([best_Rk, here.values], 1).topk(k)
            best_Rk = both.values
            item_Rk = torch.cat([item_Rk, here.indices + start], 1).gather(1, both.indices)
        found[rows] = item_Rk.masked_fill_(best_Rk.isneginf(), -1).cpu().numpy()
    return found


def first_unseen(model: Scorer, u_XU: Tensor, seen: Sequence[np.ndarray]) -> np.ndarray:
    """The unseen item `(X,)` with the highest score, int32; -1 if everything was seen."""
    return top_k(model, u_XU, seen, 1)[:, 0]


def _slices(rows: int) -> Iterator[slice]:
    for start in range(0, rows, ROWS_PER_BLOCK):
        yield slice(start, min(start + ROWS_PER_BLOCK, rows))


class _BlockScores:
    """Scores of a few users by ranges of items; the last block computed by `at` is cached until it is taken."""

    def __init__(self, model: Scorer, u_RU: Tensor) -> None:
        self.model, self.rows = model, len(u_RU)
        # A copy: a model whose vectors are its scores may return a view of them, which is then overwritten.
        self.u_RU = torch.cat([u_RU, u_RU[:1].expand(max(0, MIN_ROWS - len(u_RU)), -1)])
        count = min(-(-model.n_items * len(self.u_RU) // SCORES_PER_BLOCK), model.n_items)
        # Of one size, give or take an item: a narrow remainder could be rounded differently.
        bounds = [model.n_items * number // count for number in range(count + 1)]
        self.ranges = list(pairwise(bounds))
        self._cached: tuple[int, Tensor] | None = None

    def at(self, item_RM: Tensor) -> Tensor:
        """Scores of some items of each user; minus infinity for the item -1."""
        found_RM = self.u_RU.new_full(item_RM.shape, -torch.inf)
        for start, stop in self.ranges:
            inside_RM = (item_RM >= start) & (item_RM < stop)
            if inside_RM.any():
                self._cached = start, self._block(start, stop)
                here_RM = self._cached[1].gather(1, (item_RM - start).clamp(0, stop - start - 1))
                found_RM = torch.where(inside_RM, here_RM, found_RM)
        return found_RM

    def take(self, start: int, stop: int) -> Tensor:
        """The block of a range, which the caller may overwrite."""
        cached, self._cached = self._cached, None
        return cached[1] if cached is not None and cached[0] == start else self._block(start, stop)

    def _block(self, start: int, stop: int) -> Tensor:
        return self.model.scores(self.u_RU, start, stop)[: self.rows].contiguous()


class _SeenMask:
    """Positions of the items that are not ranked: those that each user has seen, and the target if given."""

    def __init__(self, seen: Sequence[np.ndarray], device: torch.device, target_R1: Tensor | None = None) -> None:
        rows, lengths = np.arange(len(seen)), [len(items) for items in seen]
        self.row = torch.from_numpy(np.repeat(rows, lengths)).to(device)
        self.item = torch.from_numpy(np.concatenate(seen)).long().to(device)
        if target_R1 is not None:
            self.row = torch.cat([self.row, torch.from_numpy(rows).to(device)])
            self.item = torch.cat([self.item, target_R1[:, 0]])

    def mask(self, block_Rn: Tensor, start: int) -> Tensor:
        """The block in place, with minus infinity at the masked items."""
        width = block_Rn.shape[1]
        inside = (self.item >= start) & (self.item < start + width)
        place = (self.row * width + self.item - start).masked_select(inside)
        block_Rn.view(-1).index_fill_(0, place, -torch.inf)
        return block_Rn
