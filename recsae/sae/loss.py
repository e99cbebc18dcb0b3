"""Loss and gradients of one lane of a batch, for all kinds of SAE, through the selected latents only.

    loss = (1/G Σ_g ‖x̂⁽ᵍ⁾ − x‖² + l1 Σ z + alpha ‖ê − e‖²) / (B·D)       x normalised, so the first term is the FVU

x̂⁽ᵍ⁾ is decoded from the latents of prefix g; only `matryoshka` has several prefixes. Only `relu` has an l1. The last
term is AuxK (Gao et al. 2024, § A.2): the strongest dead latents, by pre-activations without a ReLU so that their
encoders get a gradient, decode to ê; e = x − x̂ is not differentiated.

Lanes are the fixed slices of a batch of distributed/deterministic_reduce.py. `batchtopk` selects within a lane, so that
the number of workers changes nothing. Shape suffixes: see kernels.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recsae.config.sae import SaeConfig
from recsae.sae import kernels
from recsae.sae.kernels import Code, Gradient
from recsae.sae.model import Sae

DEAD_PER_SELECTED = 4
"""Least number of dead latents per latent that AuxK selects. If all dead latents took part in every row, they would fit
the residual together, their offsets would cancel, and none would specialise."""


class Objective:
    """The loss of one SAE, with its prefixes and the number of latents in AuxK."""

    def __init__(self, config: SaeConfig, width: int, device: str) -> None:
        self.config = config
        self.auxk = config.auxk if config.auxk is not None else max(1, width // 2)
        self.groups = len(config.nested)
        bounds = torch.tensor(config.nested, device=device)
        self.group_H = torch.searchsorted(bounds, torch.arange(config.num_latents, device=device), right=True)
        self.group_1 = torch.zeros_like(self.group_H)
        self._pre_BH: Tensor | None = None

    def select(self, pre_BH: Tensor) -> Code:
        """The latents that are active in training."""
        if self.config.kind == "relu":
            return kernels.above(pre_BH, 0.0)
        if self.config.kind == "topk":
            return kernels.strongest(pre_BH, self.config.k)
        return kernels.strongest_of_batch(pre_BH, self.config.k)

    def reconstruct(self, sae: Sae, x_BD: Tensor) -> Tensor:
        """`x̂` as in training, normalised; for kinds that select per batch it may differ from `Sae.reconstruct`."""
        code = self.select(self._pre(sae, x_BD))
        return kernels.decode(code, sae.W_dec, self.group_1, 1)[0] + sae.b_dec

    def gradient(self, sae: Sae, x_BD: Tensor, dead_H: Tensor, total: float) -> LossSums:
        """Loss and gradients of one lane of normalised activations; `total` is B·D of the global batch.

        `dead_H` holds the indices of dead latents.
        """
        sums = LossSums.empty(sae)
        pre_BH = self._pre(sae, x_BD)
        code = self.select(pre_BH)
        error_GBD = kernels.decode(code, sae.W_dec, self.group_H, self.groups) + (sae.b_dec - x_BD)
        slope_GBD = error_GBD * (2 / (total * self.groups))
        sums.b_dec_D.add_(slope_GBD.sum((0, 1)))
        if self.groups > 1:  # a latent contributes to its own prefix and to all longer ones
            slope_GBD = slope_GBD.flip(0).cumsum(0).flip(0)
        l1 = self.config.l1 / total if self.config.kind == "relu" else 0.0
        kernels.accumulate(code, x_BD, slope_GBD, self.group_H, sae.W_dec, l1, sums.gradient)
        active_BK = code.index_BK >= 0
        sums.error.copy_(error_GBD[-1].square().sum() / total)
        sums.active.copy_(active_BK.sum())
        if self.config.kind in ("batchtopk", "matryoshka") and active_BK.any():
            sums.least.copy_(code.value_BK[active_BK].min())
        if len(dead_H) and self.auxk and self.config.auxk_alpha:
            self._revive(sae, x_BD, pre_BH, error_GBD[-1], dead_H, total, sums.gradient)
        return sums

    def _pre(self, sae: Sae, x_BD: Tensor) -> Tensor:
        """Pre-activations, in a buffer reused between lanes: touching new pages may cost as much as the product."""
        if self._pre_BH is None or len(self._pre_BH) < len(x_BD) or self._pre_BH.dtype != x_BD.dtype:
            self._pre_BH = x_BD.new_empty(len(x_BD), sae.num_latents)
        return torch.addmm(sae.b_enc, x_BD, sae.W_enc.T, out=self._pre_BH[: len(x_BD)])

    def _revive(
        self, sae: Sae, x_BD: Tensor, pre_BH: Tensor, error_BD: Tensor, dead_H: Tensor, total: float, gradient: Gradient
    ) -> None:
        count = min(self.auxk, max(1, len(dead_H) // DEAD_PER_SELECTED))
        selected = kernels.strongest(pre_BH.index_select(1, dead_H), count, float("-inf"))
        code = Code(torch.where(selected.index_BK < 0, -1, dead_H[selected.index_BK].int()), selected.value_BK)
        miss_BD = kernels.decode(code, sae.W_dec, self.group_1, 1) + error_BD  # ê − e, for e = −error
        slope_1BD = miss_BD * (2 * self.config.auxk_alpha / total)
        uncounted = gradient._replace(count_H=torch.zeros_like(gradient.count_H))
        kernels.accumulate(code, x_BD, slope_1BD, self.group_1, sae.W_dec, 0.0, uncounted)


class LossSums:
    """Loss and gradients summed over one lane or several: views of one vector, so that one addition merges lanes."""

    def __init__(self, flat: Tensor, sae: Sae) -> None:
        self.flat = flat
        latents, width = sae.num_latents, sae.width
        sizes = [latents * width, latents, latents * width, width, latents, 1, 1, 1]
        W_enc, self.b_enc_H, W_dec, self.b_dec_D, self.count_H, error, active, least = torch.split(flat, sizes)
        self.W_enc_HD, self.W_dec_HD = W_enc.view(latents, width), W_dec.view(latents, width)
        self.error, self.active, self.least = error[0], active[0], least[0]

    @classmethod
    def empty(cls, sae: Sae) -> LossSums:
        size = 2 * sae.W_enc.numel() + 2 * sae.num_latents + sae.width + 3
        return cls(torch.zeros(size, dtype=sae.W_enc.dtype, device=sae.W_enc.device), sae)

    @property
    def gradients(self) -> Tensor:
        """The gradients of all weights as one vector."""
        return self.flat[: -len(self.count_H) - 3]

    @property
    def gradient(self) -> Gradient:
        return Gradient(self.W_enc_HD, self.b_enc_H, self.W_dec_HD, self.count_H)
