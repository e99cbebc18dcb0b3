"""The sparse autoencoder, in four kinds that differ in which latents of an activation are active.

    x̃ = (x − mean) / scale          pre = W_enc x̃ + b_enc          z = pre if selected and positive, else 0
    x̂ = mean + scale (z W_dec + b_dec)                             rows of W_dec have unit norm

    topk        the k largest of each activation (Gao et al. 2024, arXiv 2406.04093)
    batchtopk   in training the B·k largest of a batch, afterwards those above a threshold learnt in training (Bussmann
                et al. 2024, arXiv 2412.06410)
    matryoshka  batchtopk; in training the first latents reconstruct on their own (Bussmann et al. 2025, 2503.17547)
    relu        all positive ones (Bricken et al. 2023, "Towards Monosemanticity"; an L1 penalty makes them sparse)

The training loss is in loss.py. Shape suffixes: B activations, D their width, H latents, K the most latents active for
one activation.
"""

from __future__ import annotations

from typing import NamedTuple

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsae.config.sae import Kind
from recsae.sae import kernels
from recsae.sae.kernels import Code
from recsae.store.filesystem import Folder, as_json

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"
MAX_FLOATS_PER_BLOCK = 4_000_000
"""Pre-activations in memory at a time; every activation has H."""


class Encoded(NamedTuple):
    """The active latents of each activation, in any order. Unused slots have index 0 and value 0."""

    index_BK: Tensor
    value_BK: Tensor


class Sae(nn.Module):
    """Weights, with centring and scaling fitted on the stream as buffers, so that they are saved with the weights."""

    mean_D: Tensor
    scale: Tensor
    threshold: Tensor

    def __init__(self, width: int, num_latents: int, kind: Kind = "topk", k: int = 8) -> None:
        super().__init__()
        self.width, self.num_latents, self.kind, self.k = width, num_latents, kind, k
        W_dec = F.normalize(torch.randn(num_latents, width), dim=1)
        self.W_dec = nn.Parameter(W_dec)
        self.W_enc = nn.Parameter(W_dec.clone())
        self.b_enc = nn.Parameter(torch.zeros(num_latents))
        self.b_dec = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean_D", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("threshold", torch.zeros(()))  # pre-activations above it are active; unused by topk

    def normalise(self, x_BD: Tensor) -> Tensor:
        """Activations with mean 0 and mean square 1 per dimension."""
        return (x_BD - self.mean_D) / self.scale

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Encoded:
        """The active latents of raw activations, in the SAE's scaled units."""
        at_once = min(len(x_BD), max(1, MAX_FLOATS_PER_BLOCK // self.num_latents))
        pre_BH = x_BD.new_empty(
            at_once, self.num_latents
        )  # one buffer for all blocks; with one per block the heap grows
        parts = [self._choose(self.normalise(rows), pre_BH[: len(rows)]) for rows in torch.split(x_BD, max(1, at_once))]
        most = max(code.index_BK.shape[1] for code in parts)
        index, value = (
            torch.cat([F.pad(of, (0, most - of.shape[1])) for of in column]) for column in zip(*parts, strict=True)
        )
        return Encoded(index.clamp_(min=0), value)

    def _choose(self, x_BD: Tensor, pre_BH: Tensor) -> Code:
        torch.addmm(self.b_enc, x_BD, self.W_enc.T, out=pre_BH)
        if self.kind == "topk":
            return kernels.strongest(pre_BH, self.k)
        return kernels.above(pre_BH, float(self.threshold))

    def decode(self, index_BK: Tensor, value_BK: Tensor) -> Tensor:
        """Raw activations from active latents, with centring and scaling undone; z is never materialised."""
        sum_BD = F.embedding_bag(index_BK, self.W_dec, per_sample_weights=value_BK, mode="sum")
        return self.mean_D + self.scale * (sum_BD + self.b_dec)

    def reconstruct(self, x_BD: Tensor) -> Tensor:
        """`x̂` for raw activations."""
        return self.decode(*self.encode(x_BD))


def best_length(x_hat_BD: Tensor, x_BD: Tensor) -> float:
    """The least-squares factor that scales `x̂` to `x`, both centred; 0 if `x̂` is 0."""
    square = float(x_hat_BD.square().sum())
    return float((x_hat_BD * x_BD).sum()) / square if square else 0.0


def save(folder: Folder, sae: Sae) -> None:
    """Write `sae.safetensors` and `cfg.json` into the folder."""
    weights = {name: value.detach().cpu().contiguous() for name, value in sae.state_dict().items()}
    with folder.open_output(WEIGHTS) as sink:
        sink.write(safetensors.torch.save(weights))
    with folder.open_output(CONFIG) as sink:
        sink.write(as_json({"kind": sae.kind, "width": sae.width, "num_latents": sae.num_latents, "k": sae.k}))


def load(folder: Folder, device: str = "cpu") -> Sae:
    """The frozen SAE that `save` wrote into the folder."""
    facts = folder.read_json(CONFIG)
    sae = Sae(facts["width"], facts["num_latents"], facts["kind"], facts["k"])
    with folder.open_input(WEIGHTS) as source:
        sae.load_state_dict(safetensors.torch.load(source.read()))
    return sae.to(device).eval().requires_grad_(False)
