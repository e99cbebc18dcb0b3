"""One SAE in training: its weights, Adam's moments, and how long each latent has been inactive.

A step takes a global batch. On a CPU it gives the same bits for any number of workers, because gradients are added lane
by lane in a fixed order (distributed/deterministic_reduce.py). Shape suffixes: see kernels.py.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from recsae.config.sae import SaeConfig
from recsae.distributed.deterministic_reduce import LANES, add_lanes, lane_rows
from recsae.sae import kernels
from recsae.sae.loss import LossSums, Objective
from recsae.sae.model import Sae, best_length

WARMUP = 100
DECAY_SHARE = 0.2
THRESHOLD_WINDOW = 100
"""Steps over which the threshold of `batchtopk` and `matryoshka` is averaged."""


class SaeTrainer:
    """One SAE and its optimiser; activations are normalised by `mean` `(D,)` and `scale`."""

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
        self.inactive_H = torch.zeros(config.num_latents, dtype=torch.long, device=device)
        self.steps, self.diverged, self._trained = 0, False, False
        self._objective = Objective(config, width, device)

    def step(self, batch: np.ndarray, rank: int = 0, world: int = 1) -> float:
        """Take one step on a global batch `(B, D)` of raw activations; return the batch's FVU before the step.

        A NaN or infinite FVU means that training has diverged; the weights do not change any more, and NaN is returned.
        """
        self.steps += 1
        if self.diverged:
            return math.nan
        if self.steps == 1 and not self._trained:
            self._fit_encoder(batch)
        dead_H = (self.inactive_H >= self.config.dead_after).nonzero().ravel()

        def lane(number: int) -> Tensor:
            rows = torch.tensor(batch[lane_rows(number, len(batch))], device=self.device)
            return self._objective.gradient(self.sae, self.sae.normalise(rows), dead_H, batch.size).flat

        sums = LossSums(add_lanes(lane, rank, world), self.sae)
        fvu = float(sums.error)
        if not math.isfinite(fvu):
            self.diverged = True
            return math.nan
        self._update(sums, len(batch))
        self.inactive_H += len(batch)
        self.inactive_H[sums.count_H > 0] = 0
        return fvu

    def warm_start(self, previous: Sae) -> None:
        """Start from the weights of an SAE of the same size and kind, with the same raw reconstructions.

        With normalisation m and s before and m' and s' now, `b_enc' = (b_enc + W_enc (m' - m) / s) s / s'`,
        `b_dec' = (m - m') / s' + b_dec s / s'`, and the threshold scales as the latents do.
        """
        ratio = previous.scale / self.sae.scale
        moved_D = self.sae.mean_D - previous.mean_D
        self.sae.W_enc.copy_(previous.W_enc)
        self.sae.W_dec.copy_(previous.W_dec)
        self.sae.b_enc.copy_((previous.b_enc + previous.W_enc @ (moved_D / previous.scale)) * ratio)
        self.sae.b_dec.copy_(previous.b_dec * ratio - moved_D / self.sae.scale)
        self.sae.threshold.copy_(previous.threshold * ratio)
        self._trained = True

    def _fit_encoder(self, batch: np.ndarray) -> None:
        """Scale the encoder, which starts equal to the decoder, so that the first reconstructions are not too long."""
        x_BD = self.sae.normalise(torch.tensor(batch[: max(1, len(batch) // LANES)], device=self.device))
        length = best_length(self._objective.reconstruct(self.sae, x_BD), x_BD)
        if length > 0:  # 0 if all activations are equal
            self.sae.W_enc.mul_(length)

    @property
    def dead_share(self) -> float:
        """Share of latents that have not fired for `dead_after` activations."""
        return float((self.inactive_H >= self.config.dead_after).float().mean())

    def _update(self, sums: LossSums, rows: int) -> None:
        rate = self.config.rate * schedule(self.steps - 1, self.config.steps)
        # Unit length: otherwise the large gradients of the first steps dominate Adam's second moment for long.
        sums.gradients.div_(sums.gradients.norm().clamp(min=1e-30))
        for name, gradient in (
            ("W_enc", sums.W_enc_HD),
            ("b_enc", sums.b_enc_H[None]),
            ("W_dec", sums.W_dec_HD),
            ("b_dec", sums.b_dec_D[None]),
        ):
            weight, (first, second) = self.sae.get_parameter(name), self.moments[name]
            as_rows = (weight.view_as(gradient), gradient, (first.view_as(gradient), second.view_as(gradient)))
            kernels.adam(*as_rows, rate, self.steps, unit=name == "W_dec")
        if self.config.kind in ("batchtopk", "matryoshka"):
            share = max(1 / self.steps, 1 / THRESHOLD_WINDOW)
            self.sae.threshold.lerp_(sums.least / min(LANES, rows), share)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The state that `load` restores, by group."""
        moments = {f"{name}.{place}": pair[place] for name, pair in self.moments.items() for place in (0, 1)}
        return {
            "weights": self.sae.state_dict(),
            "moments": moments,
            "progress": {"silent": self.inactive_H, "steps": torch.tensor([self.steps, self.diverged])},
        }

    def load(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        """Restore the state that `tensors` returned."""
        self.sae.load_state_dict(tensors["weights"])
        for name, pair in self.moments.items():
            for place in (0, 1):
                pair[place].copy_(tensors["moments"][f"{name}.{place}"])
        self.inactive_H.copy_(tensors["progress"]["silent"])
        self.steps, diverged = tensors["progress"]["steps"].tolist()
        self.diverged = bool(diverged)


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then constant, then linear decay over the last fifth."""
    return min((step + 1) / WARMUP, 1.0, max((steps - step) / (DECAY_SHARE * steps), 0.01))
