"""How scores follow the probed vectors through whatever layers come after the site: integrated gradients.

    slope = ∫ ∂score/∂x at c + α (x − c) dα        so that        score(x) − score(c) = Σ slope · (x − c)

Sundararajan et al. 2017 (arXiv 1703.01365): a gradient, averaged on the way from the SAE's centre `c` to the vectors.
The gradient at x alone will not do behind a LayerNorm, which forgets the length of a vector: its products with the
parts of x come to nearly nothing, whatever the score. The integral is a sum over a few Gauss-Legendre points.

It knows the recommender's contract, and of the SAE the centre alone. Shape suffixes: see recommenders/base.py; T
items of each user, S = T + 1: these and the average item of the catalogue.
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
"""Four leave about a twentieth of the score unexplained on ML-1M (a block of SASRec), eight a fiftieth."""


class Slopes(NamedTuple):
    """Of each item, and last of the mean over the catalogue."""

    score_BS: Tensor
    bias_BS: Tensor
    """The score where every vector is the centre: nothing fires, and nothing is left over."""
    slope_SBLD: Tensor
    """0 where a vector has no effect."""


def slopes(
    model: Recommender, h_BLD: Tensor, c_D: Tensor, histories: Histories, item_BT: Tensor, points: int = POINTS
) -> Slopes:
    """The weights stay frozen: only the vectors are followed. Raises BadInput where no gradient comes back to them."""
    with torch.no_grad():
        score_BS, bias_BS = (_scores(model, of, histories, item_BT) for of in (h_BLD, c_D.expand_as(h_BLD)))
    place, weight = np.polynomial.legendre.leggauss(points)
    total_SBLD = h_BLD.new_zeros(item_BT.shape[1] + 1, *h_BLD.shape)
    for alpha, share in zip((place + 1) / 2, weight / 2, strict=True):
        for slope_BLD, gradient_BLD in zip(
            total_SBLD, _gradients(model, torch.lerp(c_D, h_BLD, float(alpha)), histories, item_BT), strict=True
        ):
            slope_BLD.add_(gradient_BLD, alpha=float(share))
    return Slopes(score_BS, bias_BS, total_SBLD)


def _gradients(model: Recommender, h_BLD: Tensor, histories: Histories, item_BT: Tensor) -> list[Tensor]:
    """Of the score of each of S, at the vectors of all positions."""
    try:
        with torch.enable_grad():
            at_BLD = h_BLD.detach().clone().requires_grad_()
            score_BS = _scores(model, at_BLD, histories, item_BT)
            # Users of a batch do not meet, so the gradient of their sum is each one's own.
            return [torch.autograd.grad(score_B.sum(), at_BLD, retain_graph=True)[0] for score_B in score_BS.T]
    except RuntimeError as error:  # what comes after the site may be anybody's code
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"probe.site = {model.site}: no gradient comes back through the layers after it ({reason}); "
            "take no_grad and inference_mode out of the model's forward, or name a later submodule"
        ) from None


def _scores(model: Recommender, h_BLD: Tensor, histories: Histories, item_BT: Tensor) -> Tensor:
    """`(B, S)`. In the mean, what a model never recommends, at minus infinity, does not count."""
    u_BU = last_position(model.proceed(h_BLD, histories), histories)
    score_BT, sum_B, count_B = u_BU.new_zeros(item_BT.shape), u_BU.new_zeros(len(u_BU)), u_BU.new_zeros(len(u_BU))
    bounds = [*range(0, model.n_items, max(1, SCORES_PER_BLOCK // len(u_BU))), model.n_items]
    for start, stop in pairwise(bounds):
        block_Bn = model.scores(u_BU, start, stop)
        here_BT = block_Bn.gather(1, (item_BT - start).clamp(0, stop - start - 1))
        score_BT = torch.where((item_BT >= start) & (item_BT < stop), here_BT, score_BT)
        finite_Bn = block_Bn.isfinite()
        sum_B, count_B = sum_B + torch.where(finite_Bn, block_Bn, 0).sum(1), count_B + finite_Bn.sum(1)
    return torch.cat([score_BT, (sum_B / count_B.clamp(min=1))[:, None]], 1)
