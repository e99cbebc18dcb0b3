"""One SAE in training: its weights, Adam's moments, and which latents have been silent for how long.

A step takes a global batch and is the same to the bit for any number of workers on a CPU, since gradients add up lane
by lane (deterministic_reduce.py). It knows tensors and lanes, and nothing of shards, checkpoints or Ray.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from recsae.config.sae import SaeConfig
from recsae.distributed.deterministic_reduce import LANES, add_lanes, lane_rows
from recsae.sae import kernels
from recsae.sae.loss import Lane, Objective
from recsae.sae.model import Sae, best_length

WARMUP = 100
DECAY_SHARE = 0.2
MEMORY = 100
"""Steps over which the threshold of `batchtopk` is averaged."""


class Fit:
    """`mean` `(D,)` and `scale` are what the activations are normalised by."""

    def __init__(self, config: SaeConfig, seed: int, width: int, mean: np.ndarray, scale: float, device: str) -> None:
        torch.manual_seed(seed)
        self.config, self.device = config, device
        self.sae = Sae(width, config.num_latents, config.kind, config.k)
        self.sae.mean_D.copy_(torch.from_numpy(np.asarray(mean)))
        self.sae.scale.fill_(scale)
        self.sae = self.sae.to(device).requires_grad_(False)
        self.moments = {
            name: (torch.zeros_like(weight), torch.zeros_like(weight)) for name, weight in self.sae.named_parameters()
        }
        self.silent_H = torch.zeros(config.num_latents, dtype=torch.long, device=device)
        self.steps, self.diverged, self._trained = 0, False, False
        self._objective = Objective(config, width, device)

    def step(self, batch: np.ndarray, rank: int = 0, world: int = 1) -> float:
        """Take one step on a global batch `(B, D)` of raw activations; the FVU of the batch before it.

        Where that is not a number the training has diverged, and the weights stay as they are from then on.
        """
        self.steps += 1
        if self.diverged:
            return math.nan
        if self.steps == 1 and not self._trained:
            self._fit_encoder(batch)
        dead_H = (self.silent_H >= self.config.dead_after).nonzero().ravel()

        def lane(number: int) -> Tensor:
            rows = torch.tensor(batch[lane_rows(number, len(batch))], device=self.device)
            return self._objective.gradient(self.sae, self.sae.normalise(rows), dead_H, batch.size).flat

        found = Lane(add_lanes(lane, rank, world), self.sae)
        fvu = float(found.error)
        if not math.isfinite(fvu):
            self.diverged = True
            return math.nan
        self._update(found, len(batch))
        self.silent_H += len(batch)
        self.silent_H[found.count_H > 0] = 0
        return fvu

    def go_on_from(self, before: Sae) -> None:
        """Take over the weights of an SAE of the same form, which reconstructs raw activations as it did.

        It was normalised by m and s, this one by m' and s': `b_enc' = (b_enc + W_enc (m' - m) / s) s / s'`,
        `b_dec' = (m - m') / s' + b_dec s / s'`, and the threshold scales as the latents do.
        """
        ratio = before.scale / self.sae.scale
        moved_D = self.sae.mean_D - before.mean_D
        self.sae.W_enc.copy_(before.W_enc)
        self.sae.W_dec.copy_(before.W_dec)
        self.sae.b_enc.copy_((before.b_enc + before.W_enc @ (moved_D / before.scale)) * ratio)
        self.sae.b_dec.copy_(before.b_dec * ratio - moved_D / self.sae.scale)
        self.sae.threshold.copy_(before.threshold * ratio)
        self._trained = True

    def _fit_encoder(self, batch: np.ndarray) -> None:
        """Shrink the encoder, which starts as the decoder, so that what the first latents decode to is not too long."""
        x_BD = self.sae.normalise(torch.tensor(batch[: max(1, len(batch) // LANES)], device=self.device))
        length = best_length(self._objective.reconstruct(self.sae, x_BD), x_BD)
        if length > 0:  # not where all of them are equal
            self.sae.W_enc.mul_(length)

    @property
    def dead_share(self) -> float:
        """Latents that have not fired for `dead_after` activations."""
        return float((self.silent_H >= self.config.dead_after).float().mean())

    def _update(self, found: Lane, rows: int) -> None:
        rate = self.config.rate * schedule(self.steps - 1, self.config.steps)
        # Of unit length: else Adam's second moment holds the long gradients of the first steps against all later ones.
        found.gradients.div_(found.gradients.norm().clamp(min=1e-30))
        for name, gradient in (
            ("W_enc", found.W_enc_HD),
            ("b_enc", found.b_enc_H[None]),
            ("W_dec", found.W_dec_HD),
            ("b_dec", found.b_dec_D[None]),
        ):
            weight, (first, second) = self.sae.get_parameter(name), self.moments[name]
            as_rows = (weight.view_as(gradient), gradient, (first.view_as(gradient), second.view_as(gradient)))
            kernels.adam(*as_rows, rate, self.steps, unit=name == "W_dec")
        if self.config.kind in ("batchtopk", "matryoshka"):
            share = max(1 / self.steps, 1 / MEMORY)
            self.sae.threshold.lerp_(found.least / min(LANES, rows), share)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All that a later `load` needs, by group."""
        moments = {f"{name}.{place}": pair[place] for name, pair in self.moments.items() for place in (0, 1)}
        return {
            "weights": self.sae.state_dict(),
            "moments": moments,
            "progress": {"silent": self.silent_H, "steps": torch.tensor([self.steps, self.diverged])},
        }

    def load(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        """Go on from what `tensors` said."""
        self.sae.load_state_dict(tensors["weights"])
        for name, pair in self.moments.items():
            for place in (0, 1):
                pair[place].copy_(tensors["moments"][f"{name}.{place}"])
        self.silent_H.copy_(tensors["progress"]["silent"])
        self.steps, diverged = tensors["progress"]["steps"].tolist()
        self.diverged = bool(diverged)


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate: a linear warm-up, and a linear fall over the last fifth."""
    return min((step + 1) / WARMUP, 1.0, max((steps - step) / (DECAY_SHARE * steps), 0.01))
