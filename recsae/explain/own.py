"""Parts what everyone gets from what is this user's.

    score − average item's score = everyone + Σ_h own_h + error + rest

`everyone` is what the vector of the average user (population.py) gives the item beyond the average item: the SAE's
centre, the mean activation of every latent and the mean error. What is own is what differs from these means: of a
latent, firing or not, (activation − mean activation) × direction · item. Suffixes: see explainer.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsae.explain.splitting import Decomposer


class OwnParts(NamedTuple):
    """`beyond.score = everyone + named + unnamed + error + rest`, float64."""

    everyone_BT: np.ndarray
    named_BT: np.ndarray
    """This user's own, of all latents with an interpretable concept; those that do not fire for them are below their
    mean."""
    unnamed_BT: np.ndarray
    error_BT: np.ndarray
    """What the SAE does not reconstruct, beyond its mean."""
    rest_BT: np.ndarray
    """0 where the decomposition is exact."""
    contribution_BTK: np.ndarray
    """Own contributions of the latents that fire; part of `named` and `unnamed`."""

    @property
    def own_BT(self) -> np.ndarray:
        """All that is this user's own."""
        return np.asarray(self.named_BT + self.unnamed_BT + self.error_BT + self.rest_BT)


class Baseline:
    """The mean vector as a sum over named latents, unnamed latents, the error and the SAE's centre."""

    def __init__(self, decompose: Decomposer, vector_D: Tensor, activation_H: Tensor, named_H: Tensor) -> None:
        self.vector_D, self.activation_H, self.named_H = vector_D, activation_H, named_H
        named_D = (activation_H * named_H) @ decompose.d_HD
        unnamed_D = (activation_H * ~named_H) @ decompose.d_HD
        self._mean_D3 = torch.stack([named_D, unnamed_D, vector_D - decompose.c_D - named_D - unnamed_D], 1)

    def own(
        self,
        everyone_BT: Tensor,
        slope_BTD: Tensor,
        index_BTK: Tensor,
        fired_BTK: Tensor,
        mean_BTK: Tensor,
        error_BT: Tensor,
        rest_BT: Tensor,
    ) -> tuple[Tensor, ...]:
        """As in OwnParts. By `slope_BTD` a part of the vector is multiplied; `fired_BTK` and `error_BT` are what the
        activations and the error give by it, `mean_BTK` what the mean activations of the same latents give."""
        named_BT, unnamed_BT, error_mean_BT = (slope_BTD @ self._mean_D3).unbind(2)
        is_named_BTK = self.named_H[index_BTK]
        return (
            everyone_BT,
            (fired_BTK * is_named_BTK).sum(2) - named_BT,
            (fired_BTK * ~is_named_BTK).sum(2) - unnamed_BT,
            error_BT - error_mean_BT,
            rest_BT,
            fired_BTK - mean_BTK,
        )


def carried(own: OwnParts, row: int) -> tuple[float, float, float]:
    """The shares of what is this user's own that named latents, unnamed ones, and error and rest carry, over all items
    of one user of the batch; NaN without any. Parts may have opposite signs, so that a share may exceed 1."""
    of = [float(np.nansum(part_BT[row])) for part_BT in (own.named_BT, own.unnamed_BT, own.error_BT + own.rest_BT)]
    whole = sum(of)
    named, unnamed, error = (part / whole if whole else float("nan") for part in of)
    return named, unnamed, error
