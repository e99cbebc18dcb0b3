"""Integrated gradients of scores with respect to the probed vectors, through the layers after the site.

    slope = ∫ ∂score/∂x at c + α (x − c) dα        so that        score(x) − score(c) = Σ slope · (x − c)

Sundararajan et al. 2017 (arXiv 1703.01365): the gradient averaged along the path from the SAE's centre `c` to the
vector. The gradient at x alone does not work before a LayerNorm, which discards the norm of a vector: its dot products
with the parts of x sum to nearly 0, whatever the score. The integral is approximated by Gauss-Legendre quadrature.

Shape suffixes: see recommenders/base.py; T items of each user, S = T + 1: these and the average item of the catalogue.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsae.errors import BadInput
from recsae.recommenders.base import Histories, Recommender, last_position
from recsae.recommenders.topk import SCORES_PER_BLOCK

POINTS = 4
"""Quadrature points. On ML-1M (a block of SASRec) 4 leave about 5 % of the score unexplained, 8 about 2 %."""


class Slopes(NamedTuple):
    """Scores and slopes of the items; the last column is the mean over the catalogue."""

    score_BS: Tensor
    bias_BS: Tensor
    """The score when every vector is the centre: no latent fires and the reconstruction error is 0."""
    slope_SBLD: Tensor
    """0 where a vector does not affect the score."""


def slopes(
    model: Recommender, h_BLD: Tensor, c_D: Tensor, histories: Histories, item_BT: Tensor, points: int = POINTS
) -> Slopes:
    """Scores and their slopes; the weights stay frozen. Raises BadInput if no gradient reaches the vectors."""
    with torch.no_grad():
        score_BS, bias_BS = (_scores(model, of, histories, item_BT) for of in (h_BLD, c_D.expand_as(h_BLD)))
    node, weight = np.polynomial.legendre.leggauss(points)
    total_SBLD = h_BLD.new_zeros(item_BT.shape[1] + 1, *h_BLD.shape)
    for alpha, node_weight in zip((node + 1) / 2, weight / 2, strict=True):
        for slope_BLD, gradient_BLD in zip(
            total_SBLD, _gradients(model, torch.lerp(c_D, h_BLD, float(alpha)), histories, item_BT), strict=True
        ):
            slope_BLD.add_(gradient_BLD, alpha=float(node_weight))
    return Slopes(score_BS, bias_BS, total_SBLD)


def _gradients(model: Recommender, h_BLD: Tensor, histories: Histories, item_BT: Tensor) -> list[Tensor]:
    """Gradients of each of the S scores with respect to the vectors of all positions."""
    try:
        with torch.enable_grad():
            at_BLD = h_BLD.detach().clone().requires_grad_()
            score_BS = _scores(model, at_BLD, histories, item_BT)
            # Users of a batch are independent, so the gradient of the sum is that of each user's own score.
            return [torch.autograd.grad(score_B.sum(), at_BLD, retain_graph=True)[0] for score_B in score_BS.T]
    except RuntimeError as error:  # the layers after the site may be third-party code
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"probe.site = {model.site}: no gradient flows back through the layers after it ({reason}); "
            "take no_grad and inference_mode out of the model's forward, or name a later submodule"
        ) from None


def _scores(model: Recommender, h_BLD: Tensor, histories: Histories, item_BT: Tensor) -> Tensor:
    """Scores `(B, S)`. The mean leaves out items at minus infinity, which the model never recommends."""
    u_BU = last_position(model.proceed(h_BLD, histories), histories)
    score_BT, sum_B, count_B = u_BU.new_zeros(item_BT.shape), u_BU.new_zeros(len(u_BU)), u_BU.new_zeros(len(u_BU))
    bounds = [*range(0, model.n_items, max(1, SCORES_PER_BLOCK // len(u_BU))), model.n_items]
    for start, stop in pairwise(bounds):
        block_Bn = model.scores(u_BU, start, stop)
        block_score_BT = block_Bn.gather(1, (item_BT - start).clamp(0, stop - start - 1))
        score_BT = torch.where((item_BT >= start) & (item_BT < stop), block_score_BT, score_BT)
        finite_Bn = block_Bn.isfinite()
        sum_B, count_B = sum_B + torch.where(finite_Bn, block_Bn, 0).sum(1), count_B + finite_Bn.sum(1)
    return torch.cat([score_BT, (sum_B / count_B.clamp(min=1))[:, None]], 1)
