"""Training losses with negatives shared by the batch, negatives per target, or the whole catalogue.

One pass over blocks of rows computes the loss and its gradient together, so the scores of all positions are never in
memory at once. Each loss maps the scores of targets and negatives in a block to its value and derivatives. Shape
suffixes: see base.py; b rows of a block.

Each loss sums over positions, with `s` the score of the target and `n_m` those of the negatives:

- `cross-entropy`: `log(e^s + Σ e^(n_m − log(M q_m))) − s`, where `q` is the sampling distribution of the negatives, so
  that the sum estimates the one over the catalogue (Bengio & Senécal 2008).
- `bce`: `softplus(−s) + mean softplus(n_m)`.
- `gbce`: `β softplus(−s) + Σ softplus(n_m)`, `β = α(t(1−1/α)+1/α)`, `α = M/(N−1)` (Petrov & Macdonald 2023,
  arXiv 2308.07192).
- `bpr`: `mean softplus(n_m − s)`.

A negative equal to the target is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SCORES_PER_BLOCK = 2**18
"""Scores of a block, which fit a core's cache; a GPU takes `GPU_FACTOR` times as many."""
GPU_FACTOR = 256


class LossBlock(NamedTuple):
    """Loss of a block of rows, and its derivatives with respect to the scores of targets and negatives."""

    loss: Tensor
    by_target_b: Tensor
    by_negative_bM: Tensor


BlockLoss = Callable[[Tensor, Tensor, Tensor, float], LossBlock]
"""Takes scores of targets `(b,)` and negatives `(b, M)` (minus infinity: ignored), the number not ignored, and β."""


def _cross_entropy(target_b: Tensor, negative_bM: Tensor, counted_b: Tensor, beta: float) -> LossBlock:
    top_b = torch.maximum(negative_bM.amax(1), target_b)
    share_bM = negative_bM.sub_(top_b[:, None]).exp_()
    share_b = (target_b - top_b).exp()
    total_b = share_bM.sum(1) + share_b
    loss = (total_b.log() + top_b - target_b).sum()
    return LossBlock(loss, share_b / total_b - 1, share_bM.div_(total_b[:, None]))


def _bce(target_b: Tensor, negative_bM: Tensor, counted_b: Tensor, beta: float) -> LossBlock:
    loss = F.softplus(-target_b).sum() + (F.softplus(negative_bM).sum(1) / counted_b).sum()
    return LossBlock(loss, -torch.sigmoid(-target_b), negative_bM.sigmoid_().div_(counted_b[:, None]))


def _gbce(target_b: Tensor, negative_bM: Tensor, counted_b: Tensor, beta: float) -> LossBlock:
    loss = beta * F.softplus(-target_b).sum() + F.softplus(negative_bM).sum()
    return LossBlock(loss, -beta * torch.sigmoid(-target_b), negative_bM.sigmoid_())


def _bpr(target_b: Tensor, negative_bM: Tensor, counted_b: Tensor, beta: float) -> LossBlock:
    apart_bM = negative_bM.sub_(target_b[:, None])
    loss = (F.softplus(apart_bM).sum(1) / counted_b).sum()
    by_negative_bM = apart_bM.sigmoid_().div_(counted_b[:, None])
    return LossBlock(loss, -by_negative_bM.sum(1), by_negative_bM)


LOSSES: dict[str, BlockLoss] = {"cross-entropy": _cross_entropy, "bce": _bce, "gbce": _gbce, "bpr": _bpr}


def _collisions(target_X: Tensor, negative_M: Tensor | None, n_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column of every negative that equals its row's target, and the number `(X,)` of those that do not."""
    if negative_M is None:
        row = torch.arange(len(target_X), device=target_X.device)
        return row, target_X, torch.full_like(target_X, max(1, n_rows - 1))
    first_X = torch.searchsorted(negative_M, target_X)
    count_X = torch.searchsorted(negative_M, target_X, right=True) - first_X
    row = torch.repeat_interleave(torch.arange(len(target_X), device=target_X.device), count_X)
    within = torch.arange(len(row), device=row.device) - (count_X.cumsum(0) - count_X)[row]
    return row, first_X[row] + within, (len(negative_M) - count_X).clamp(min=1)


class LossAndGradient(NamedTuple):
    """The loss, and its gradients with respect to the vectors and the rows of the table."""

    loss: Tensor
    by_h_XD: Tensor
    by_item_RD: Tensor


class _PrecomputedGradient(torch.autograd.Function):
    """Computes the gradient in the forward pass; the backward pass only scales it."""

    @staticmethod
    def forward(
        context: Any, h_XD: Tensor, item_RD: Tensor, compute: Callable[[Tensor, Tensor], LossAndGradient]
    ) -> Tensor:
        found = compute(h_XD, item_RD)
        context.save_for_backward(found.by_h_XD, found.by_item_RD)
        return found.loss

    @staticmethod
    def backward(context: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        by_h_XD, by_item_RD = context.saved_tensors
        return scale * by_h_XD, scale * by_item_RD, None


def _shared_negatives(
    h_XD: Tensor,
    item_RD: Tensor,
    target_X: Tensor,
    negative_M: Tensor | None,
    correction_M: Tensor | None,
    block_loss: BlockLoss,
    beta: float,
) -> LossAndGradient:
    """Loss and gradient with the same negatives for all rows, block by block."""
    negative_MD = item_RD if negative_M is None else item_RD[negative_M]
    target_XD = item_RD[target_X]
    by_h_XD, by_negative_MD = torch.empty_like(h_XD), torch.zeros_like(negative_MD)
    by_target_X = h_XD.new_empty(len(h_XD))
    loss = h_XD.new_zeros(())
    row, column, counted_X = _collisions(target_X, negative_M, len(item_RD))
    at_once = SCORES_PER_BLOCK * (1 if h_XD.device.type == "cpu" else GPU_FACTOR)
    rows = max(1, at_once // max(1, len(negative_MD)))
    starts = list(range(0, len(h_XD), rows))
    bounds = torch.searchsorted(row, torch.tensor([*starts, len(h_XD)], device=row.device)).tolist()
    for first, here in zip(starts, pairwise(bounds), strict=True):
        b = slice(first, first + rows)
        negative_bM = h_XD[b] @ negative_MD.T
        if correction_M is not None:
            negative_bM += correction_M
        negative_bM[row[slice(*here)] - first, column[slice(*here)]] = float("-inf")
        target_b = (h_XD[b] * target_XD[b]).sum(1)
        found = block_loss(target_b, negative_bM, counted_X[b], beta)
        loss += found.loss
        by_target_X[b] = found.by_target_b
        own_bD = found.by_target_b[:, None] * target_XD[b]
        torch.addmm(own_bD, found.by_negative_bM, negative_MD, out=by_h_XD[b])
        by_negative_MD.addmm_(found.by_negative_bM.T, h_XD[b])
    by_item_RD = by_negative_MD
    if negative_M is not None:
        by_item_RD = torch.zeros_like(item_RD).index_add_(0, negative_M, by_negative_MD)
    return LossAndGradient(loss, by_h_XD, by_item_RD.index_add_(0, target_X, by_target_X[:, None] * h_XD))


def _own_negatives(
    h_XD: Tensor, item_RD: Tensor, target_X: Tensor, negative_XK: Tensor, block_loss: BlockLoss, beta: float
) -> LossAndGradient:
    """Loss and gradient with a few negatives `(X, K)` per target."""
    target_XD, negative_XKD = item_RD[target_X], item_RD[negative_XK]
    score_XK = (negative_XKD @ h_XD[:, :, None]).squeeze(2)
    collides_XK = negative_XK == target_X[:, None]
    counted_X = (~collides_XK).sum(1).clamp(min=1)
    target = (h_XD * target_XD).sum(1)
    found = block_loss(target, score_XK.masked_fill_(collides_XK, float("-inf")), counted_X, beta)
    by_h_XD = found.by_target_b[:, None] * target_XD + (found.by_negative_bM[:, None] @ negative_XKD).squeeze(1)
    by_item_RD = torch.zeros_like(item_RD).index_add_(0, target_X, found.by_target_b[:, None] * h_XD)
    by_negative = found.by_negative_bM[:, :, None] * h_XD[:, None]
    by_item_RD.index_add_(0, negative_XK.flatten(), by_negative.flatten(0, 1))
    return LossAndGradient(found.loss, by_h_XD, by_item_RD)


def summed_loss(
    name: str,
    h_XD: Tensor,
    item_RD: Tensor,
    target_X: Tensor,
    negatives: Tensor | None,
    correction_M: Tensor | None = None,
    beta: float = 1.0,
) -> Tensor:
    """The loss `name` summed over X positions.

    `target_X` and `negatives` are row numbers of `item_RD`. Negatives are `(M,)` ascending, shared by all positions;
    `(X, K)`, one row per position; or None for every row. `correction_M` is added to the scores of shared negatives.
    """

    def compute(h_XD: Tensor, item_RD: Tensor) -> LossAndGradient:
        if negatives is not None and negatives.dim() == 2:
            return _own_negatives(h_XD, item_RD, target_X, negatives, LOSSES[name], beta)
        return _shared_negatives(h_XD, item_RD, target_X, negatives, correction_M, LOSSES[name], beta)

    value: Tensor = _PrecomputedGradient.apply(h_XD, item_RD, compute)  # type: ignore[no-untyped-call]
    return value


def gbce_beta(negatives: int, n_items: int, calibration: float) -> float:
    """β of gBCE for a calibration t between 0 (plain BCE) and 1 (scores are probabilities over the catalogue)."""
    alpha = min(1.0, negatives / max(1, n_items - 1))
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
