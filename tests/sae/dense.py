"""Dense reference implementation of the SAE's formulas in float64, which the sparse step must equal."""

from __future__ import annotations

import torch
from torch import Tensor

from recsae.config.sae import SaeConfig
from recsae.sae.loss import DEAD_PER_SELECTED
from recsae.sae.model import Sae


def random_sae(config: SaeConfig, width: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Sae:
    """Weights with nothing tied or zero, a centre and a scale; rows of the decoder have unit norm."""
    torch.manual_seed(seed)
    sae = Sae(width, config.num_latents, config.kind, config.k).requires_grad_(False)
    sae.W_enc.normal_()
    sae.b_enc.normal_().mul_(0.5)
    sae.b_dec.normal_()
    sae.mean_D.normal_()
    sae.scale.fill_(2.5)
    return sae.to(dtype)


def largest(values: Tensor, count: int) -> Tensor:
    """Mask of the `count` largest values of a flat tensor; ties go to the first."""
    order = values.sort(descending=True, stable=True).indices
    return torch.zeros(len(values), dtype=torch.bool).index_fill(0, order[:count], True)


def code_of(sae: Sae, pre_BH: Tensor) -> Tensor:
    """`z` `(B, H)` as in training."""
    if sae.kind == "topk":
        chosen_BH = torch.stack([largest(row, sae.k) for row in pre_BH])
    elif sae.kind == "relu":
        chosen_BH = torch.ones_like(pre_BH, dtype=torch.bool)
    else:
        chosen_BH = largest(pre_BH.reshape(-1), len(pre_BH) * sae.k).view_as(pre_BH)
    return torch.where(chosen_BH, pre_BH, 0.0).relu()


def loss_of(sae: Sae, x_BD: Tensor, config: SaeConfig, dead_H: Tensor, auxk: int) -> Tensor:
    """The full loss of a batch of normalised activations, by plain autograd through dense codes."""
    pre_BH = x_BD @ sae.W_enc.T + sae.b_enc
    z_BH = code_of(sae, pre_BH)
    loss = torch.zeros((), dtype=x_BD.dtype)
    for width in config.nested:
        x_hat_BD = z_BH[:, :width] @ sae.W_dec[:width] + sae.b_dec
        loss = loss + (x_hat_BD - x_BD).square().sum() / len(config.nested)
    if config.kind == "relu":
        loss = loss + config.l1 * z_BH.sum()
    if auxk and len(dead_H):
        pre_BA = pre_BH[:, dead_H]
        chosen_BA = torch.stack([largest(row, min(auxk, max(1, len(dead_H) // DEAD_PER_SELECTED))) for row in pre_BA])
        e_hat_BD = torch.where(chosen_BA, pre_BA, 0.0) @ sae.W_dec[dead_H]
        loss = loss + config.auxk_alpha * (e_hat_BD - (x_BD - x_hat_BD).detach()).square().sum()
    return loss / x_BD.numel()
