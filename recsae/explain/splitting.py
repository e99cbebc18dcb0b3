"""Decomposes a probed vector into the SAE's centre, its active latents and the reconstruction error.

    x = c + Σ_h z_h d_h + error        c = mean + scale b_dec,  d_h = scale W_dec[h]

Contributions of several vectors of one user are pooled by latent. All in double precision, so that rounding of the sum
is far below that of the float32 vector. Shape suffixes: N vectors, D their width, H latents, K the most that are active
for one vector, S slopes, by which a vector is multiplied.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recsae.sae.model import Sae


class Decomposition(NamedTuple):
    """The decomposition of raw activations `x_ND`. Index and value are 0 where fewer than K latents are active."""

    index_NK: Tensor
    value_NK: Tensor
    """`z`, float32, in the SAE's scaled units."""
    error_ND: Tensor


class Pooled(NamedTuple):
    """Contributions of all vectors of one user; here K is the latents active at any of them, ascending."""

    latent_K: Tensor
    value_K: Tensor
    """Activations summed over the vectors."""
    error_S: Tensor
    contribution_SK: Tensor


class Decomposer:
    """Decomposes vectors by one SAE."""

    def __init__(self, sae: Sae) -> None:
        self.sae = sae
        scale = sae.scale.double()
        self.d_HD = scale * sae.W_dec.detach().double()
        self.c_D = sae.mean_D.double() + scale * sae.b_dec.detach().double()

    def __call__(self, x_ND: Tensor) -> Decomposition:
        index_NK, value_NK = self.sae.encode(x_ND)
        index_NK = index_NK.long()
        return Decomposition(index_NK, value_NK, x_ND.double() - self.c_D - self.directions(index_NK, value_NK).sum(1))

    def directions(self, index_NK: Tensor, value_NK: Tensor) -> Tensor:
        """`z_h d_h` of each active latent, `(N, K, D)`."""
        return value_NK[:, :, None] * self.d_HD[index_NK]

    def pool(self, x_ND: Tensor, slope_SND: Tensor) -> Pooled:
        """Every part of every vector times the slope at that vector, summed over the vectors."""
        index_NK, value_NK, error_ND = self(x_ND)
        slope_SND = slope_SND.double()
        contribution_SNK = torch.einsum("snd,nkd->snk", slope_SND, self.directions(index_NK, value_NK))
        fires_NK = value_NK > 0
        latent_K, place = torch.unique(index_NK[fires_NK], return_inverse=True)
        contribution_SF = contribution_SNK[:, fires_NK]
        return Pooled(
            latent_K,
            value_NK.new_zeros(len(latent_K)).index_add_(0, place, value_NK[fires_NK]),
            (slope_SND * error_ND).sum((1, 2)),
            contribution_SF.new_zeros(len(contribution_SF), len(latent_K)).index_add_(1, place, contribution_SF),
        )
