"""The sparse autoencoder: TopK (Gao et al. 2024, arXiv 2406.04093) on centred, scaled activations.

    x̃ = (x − mean) / scale          pre = W_enc x̃ + b_enc         z = ReLU(TopK_k(pre))
    x̂ = mean + scale (z W_dec + b_dec)                            rows of W_dec have unit norm

It knows tensors only: no Ray, no recommender. Shape suffixes: B activations, D their width, H latents, K active
latents, A auxiliary latents.
"""

from __future__ import annotations

from typing import NamedTuple

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsae.config import SaeConfig
from recsae.store.folder import Folder, as_json


class Encoded(NamedTuple):
    """The k strongest latents of each activation; a value of 0 means that the latent is silent."""

    index_BK: Tensor
    value_BK: Tensor
    pre_BH: Tensor


class TopKSae(nn.Module):
    """Weights, and the centring and scaling learnt on the stream (buffers, stored with the weights)."""

    mean_D: Tensor
    scale: Tensor

    def __init__(self, width: int, num_latents: int, k: int) -> None:
        super().__init__()
        self.width, self.num_latents, self.k = width, num_latents, k
        W_dec = F.normalize(torch.randn(num_latents, width), dim=1)
        self.W_dec = nn.Parameter(W_dec)
        self.W_enc = nn.Parameter(W_dec.clone())
        self.b_enc = nn.Parameter(torch.zeros(num_latents))
        self.b_dec = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean_D", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def normalise(self, x_BD: Tensor) -> Tensor:
        """Activations with mean 0 and a mean square of 1 per dimension."""
        return (x_BD - self.mean_D) / self.scale

    def encode_normalised(self, x_BD: Tensor) -> Encoded:
        pre_BH = F.linear(x_BD, self.W_enc, self.b_enc)
        value_BK, index_BK = pre_BH.topk(self.k, dim=1, sorted=False)
        return Encoded(index_BK, value_BK.relu(), pre_BH)

    def decode_normalised(self, index_BK: Tensor, value_BK: Tensor) -> Tensor:
        """`z W_dec` without ever forming z."""
        return F.embedding_bag(index_BK, self.W_dec, per_sample_weights=value_BK, mode="sum")

    def encode(self, x_BD: Tensor) -> Encoded:
        """The active latents of raw activations, in the SAE's scaled units."""
        return self.encode_normalised(self.normalise(x_BD))

    def decode(self, index_BK: Tensor, value_BK: Tensor) -> Tensor:
        """Raw activations from active latents; centring and scaling undone."""
        return self.mean_D + self.scale * (self.decode_normalised(index_BK, value_BK) + self.b_dec)

    def reconstruct(self, x_BD: Tensor) -> Tensor:
        """`x̂` for raw activations."""
        encoded = self.encode(x_BD)
        return self.decode(encoded.index_BK, encoded.value_BK)


def losses(sae: TopKSae, x_BD: Tensor, dead_H: Tensor, auxk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Summed squared error, summed auxiliary error, and which latents fired, for normalised activations.

    Divided by `B·D` the first is the FVU, since the stream's variance is 1 per dimension. AuxK (§ A.2 of the paper):
    the `auxk` strongest dead latents, by their pre-activations so that the encoder gets a gradient where the ReLU
    would give none, reconstruct the detached residual.
    """
    encoded = sae.encode_normalised(x_BD)
    x_hat_BD = sae.decode_normalised(encoded.index_BK, encoded.value_BK) + sae.b_dec
    error = (x_hat_BD - x_BD).square().sum()
    fired_H = torch.zeros(sae.num_latents, device=x_BD.device)
    fired_H[encoded.index_BK[encoded.value_BK > 0]] = 1
    dead = int(dead_H.sum())
    if dead == 0 or auxk == 0:
        return error, error.new_zeros(()), fired_H
    residual_BD = (x_BD - x_hat_BD).detach()
    masked_BH = encoded.pre_BH.masked_fill(~dead_H, float("-inf"))
    value_BA, index_BA = masked_BH.topk(min(auxk, dead), dim=1, sorted=False)
    auxiliary = (sae.decode_normalised(index_BA, value_BA) - residual_BD).square().sum()
    return error, auxiliary, fired_H


def keep_decoder_unit(sae: TopKSae, gradient_HD: Tensor) -> Tensor:
    """The decoder's gradient without its part along each row, which the unit norm would undo."""
    along_H1 = (gradient_HD * sae.W_dec).sum(1, keepdim=True)
    return gradient_HD - along_H1 * sae.W_dec


def save(folder: Folder, weights: dict[str, Tensor], config: SaeConfig, width: int) -> None:
    """`weights.safetensors` and `config.json`."""
    with folder.open_output("weights.safetensors") as sink:
        sink.write(safetensors.torch.save(weights))
    with folder.open_output("config.json") as sink:
        sink.write(as_json({"kind": "topk", "width": width, "num_latents": config.num_latents, "k": config.k}))


def load(folder: Folder, device: str = "cpu") -> TopKSae:
    """A frozen SAE from the folder that `save` wrote."""
    facts = folder.read_json("config.json")
    sae = TopKSae(facts["width"], facts["num_latents"], facts["k"])
    with folder.open_input("weights.safetensors") as source:
        sae.load_state_dict(safetensors.torch.load(source.read()))
    return sae.to(device).eval().requires_grad_(False)
