"""Replacements for activations: the SAE's reconstruction and the controls it is compared with.

A control is small enough to send to a worker. There it becomes an edit, a function from raw activations `(B, D)` to raw
activations. Shape suffixes: see model.py; R principal axes or dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from recsae.sae.model import Encoded, Sae, load
from recsae.store.filesystem import Folder

Edit = Callable[[Tensor], Tensor]


class Control(Protocol):
    def on(self, device: str) -> Edit:
        """The edit, with its weights on `device`."""


@dataclass(frozen=True)
class Reconstruction:
    """`x̂`, or with its error `x̂ + (x − x̂)`, which equals x unless the hook that inserts it is wrong."""

    sae: Sae
    with_error: bool = False

    def __call__(self, x_BD: Tensor) -> Tensor:
        return self.decode(self.sae.encode(x_BD), x_BD)

    def decode(self, encoded: Encoded, x_BD: Tensor) -> Tensor:
        """The reconstruction of `x_BD` from latents that are already encoded."""
        x_hat_BD = self.sae.decode(*encoded)
        return x_hat_BD + (x_BD - x_hat_BD) if self.with_error else x_hat_BD


@dataclass(frozen=True)
class Trained:
    """The trained SAE stored in a folder."""

    folder: Folder
    with_error: bool = False

    def on(self, device: str) -> Reconstruction:
        return Reconstruction(load(self.folder, device), self.with_error)


@dataclass(frozen=True)
class Untrained:
    """An SAE of the same size, centring and scaling as the one in the folder, with its random initial weights.

    Its kind is always `topk`, the only one whose number of active latents is known without training. Many random
    directions add up to too long a vector, so `length` scales it: the only fitted number (`model.best_length`).
    """

    folder: Folder
    k: int
    seed: int
    length: float = 1.0

    def on(self, device: str) -> Reconstruction:
        with torch.random.fork_rng(devices=[]):
            trained = load(self.folder)
            torch.manual_seed(self.seed)
            sae = Sae(trained.width, trained.num_latents, "topk", self.k)
        sae.mean_D.copy_(trained.mean_D)
        sae.scale.copy_(trained.scale)
        sae.W_enc.detach().mul_(self.length)
        return Reconstruction(sae.to(device).eval().requires_grad_(False))


@dataclass(frozen=True)
class Principal:
    """The mean plus the projection on the first principal components: the best linear code of rank R."""

    mean_D: Tensor
    axes_RD: Tensor

    def on(self, device: str) -> Principal:
        return Principal(self.mean_D.to(device), self.axes_RD.to(device))

    def __call__(self, x_BD: Tensor) -> Tensor:
        return self.mean_D + (x_BD - self.mean_D) @ self.axes_RD.T @ self.axes_RD


@dataclass(frozen=True)
class Raw:
    """The mean, except for the `number` coordinates of each activation that are farthest from it.

    This is a TopK SAE whose dictionary is the raw dimensions in both directions.
    """

    mean_D: Tensor
    number: int

    def on(self, device: str) -> Raw:
        return Raw(self.mean_D.to(device), self.number)

    def __call__(self, x_BD: Tensor) -> Tensor:
        away_BD = x_BD - self.mean_D
        index_BR = away_BD.abs().topk(min(self.number, x_BD.shape[1]), dim=1, sorted=False).indices
        return self.mean_D.expand_as(x_BD).scatter(1, index_BR, x_BD.gather(1, index_BR))


def principal_components(mean_D: np.ndarray, scatter_DD: np.ndarray, rank: int) -> Principal:
    """The first `rank` principal components (or all, if fewer) of the scatter matrix `Σ (x−mean)(x−mean)ᵀ`."""
    _, axes_DR = np.linalg.eigh(scatter_DD)
    axes_RD = axes_DR.T[::-1][:rank]
    return Principal(_float32(mean_D), _float32(axes_RD))


def fidelity_controls(untrained: Untrained, mean_D: np.ndarray, scatter_DD: np.ndarray) -> Mapping[str, Control]:
    """The trained SAE and its controls, by row name of the fidelity table.

    PCA keeps as many axes, and the raw code as many dimensions, as the untrained SAE has active latents.
    """
    folder, rank = untrained.folder, untrained.k
    return {
        "sae": Trained(folder),
        "sae_with_error": Trained(folder, with_error=True),
        "pca": principal_components(mean_D, scatter_DD, rank),
        "untrained": untrained,
        "raw": Raw(_float32(mean_D), rank),
    }


def _float32(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
