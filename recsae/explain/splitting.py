"""A probed vector as a sum: its active latents, the centre, and what the SAE leaves over.

    x = c + Σ_h z_h d_h + error        c = mean + scale b_dec,  d_h = scale W_dec[h]

And what the latents of several vectors of one user come to. In double precision, so that the sum is the vector to far
more digits than the vector has. It knows the SAE and tensors, and no recommender. Shape suffixes: N vectors, D their
width, H latents, K the most that are active for one vector, S slopes: what a vector is multiplied with.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recsae.sae.model import Sae


class Pieces(NamedTuple):
    """Of raw activations `x_ND`. Where fewer than K latents are active, index and value are 0."""

    index_NK: Tensor
    value_NK: Tensor
    """`z`, float32, in the SAE's scaled units."""
    error_ND: Tensor


class Pooled(NamedTuple):
    """Of all vectors of one user and their slopes; here K counts the latents that are active anywhere, ascending."""

    latent_K: Tensor
    value_K: Tensor
    """The sum of its activations."""
    error_S: Tensor
    contribution_SK: Tensor


class Splitter:
    """Splits vectors by one SAE."""

    def __init__(self, sae: Sae) -> None:
        self.sae = sae
        scale = sae.scale.double()
        self.d_HD = scale * sae.W_dec.detach().double()
        self.c_D = sae.mean_D.double() + scale * sae.b_dec.detach().double()

    def __call__(self, x_ND: Tensor) -> Pieces:
        index_NK, value_NK = self.sae.encode(x_ND)
        index_NK = index_NK.long()
        return Pieces(index_NK, value_NK, x_ND.double() - self.c_D - self.directions(index_NK, value_NK).sum(1))

    def directions(self, index_NK: Tensor, value_NK: Tensor) -> Tensor:
        """`z_h d_h` of each active latent, `(N, K, D)`."""
        return value_NK[:, :, None] * self.d_HD[index_NK]

    def pool(self, x_ND: Tensor, slope_SND: Tensor) -> Pooled:
        """Every piece of every vector times its slope, summed over the vectors."""
        index_NK, value_NK, error_ND = self(x_ND)
        slope_SND = slope_SND.double()
        each_SNK = torch.einsum("snd,nkd->snk", slope_SND, self.directions(index_NK, value_NK))
        fires_NK = value_NK > 0
        latent_K, place = torch.unique(index_NK[fires_NK], return_inverse=True)
        each = each_SNK[:, fires_NK]
        return Pooled(
            latent_K,
            value_NK.new_zeros(len(latent_K)).index_add_(0, place, value_NK[fires_NK]),
            (slope_SND * error_ND).sum((1, 2)),
            each.new_zeros(len(each), len(latent_K)).index_add_(1, place, each),
        )
