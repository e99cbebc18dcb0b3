"""What may take an activation's place: the SAE's reconstruction, and the controls that it is measured beside.

A control is small enough to travel to a worker, and there becomes an edit, which maps raw activations `(B, D)` to raw
activations. It knows tensors and the folder of an SAE, and no recommender. Shape suffixes: see model.py; R axes.
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
        """The edit, its weights on the device."""


@dataclass(frozen=True)
class Reconstruction:
    """`x̂`; with its error `x̂ + (x − x̂)`, which is x again unless the hook that puts it in place is wrong."""

    sae: Sae
    with_error: bool = False

    def __call__(self, x_BD: Tensor) -> Tensor:
        return self.decode(self.sae.encode(x_BD), x_BD)

    def decode(self, encoded: Encoded, x_BD: Tensor) -> Tensor:
        """The rest of the call, for who has the latents already."""
        kept_BD = self.sae.decode(*encoded)
        return kept_BD + (x_BD - kept_BD) if self.with_error else kept_BD


@dataclass(frozen=True)
class Trained:
    """The SAE that lies in a folder."""

    folder: Folder
    with_error: bool = False

    def on(self, device: str) -> Reconstruction:
        return Reconstruction(load(self.folder, device), self.with_error)


@dataclass(frozen=True)
class Untrained:
    """An SAE as wide as the one in the folder, with its centring and scaling, and the first weights of a seed.

    Always of the kind `topk`: no other has a known number of active latents without training. As they are, its many
    directions add up to too long a vector; `length` shortens it, the one number that is fitted (`model.best_length`).
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
    """The mean, and the projection on the first principal components: the best linear code of rank R."""

    mean_D: Tensor
    axes_RD: Tensor

    def on(self, device: str) -> Principal:
        return Principal(self.mean_D.to(device), self.axes_RD.to(device))

    def __call__(self, x_BD: Tensor) -> Tensor:
        return self.mean_D + (x_BD - self.mean_D) @ self.axes_RD.T @ self.axes_RD


@dataclass(frozen=True)
class Raw:
    """The mean, and of each activation the `number` coordinates that lie farthest from it.

    An SAE whose dictionary is the raw dimensions in both directions; which of them are kept, each activation chooses.
    """

    mean_D: Tensor
    number: int

    def on(self, device: str) -> Raw:
        return Raw(self.mean_D.to(device), self.number)

    def __call__(self, x_BD: Tensor) -> Tensor:
        away_BD = x_BD - self.mean_D
        index_BR = away_BD.abs().topk(min(self.number, x_BD.shape[1]), dim=1, sorted=False).indices
        return self.mean_D.expand_as(x_BD).scatter(1, index_BR, x_BD.gather(1, index_BR))


def principal(mean_D: np.ndarray, scatter_DD: np.ndarray, rank: int) -> Principal:
    """The first `rank` principal components, or all, of a stream with this scatter matrix `Σ (x−mean)(x−mean)ᵀ`."""
    _, axes_DR = np.linalg.eigh(scatter_DD)
    axes_RD = axes_DR.T[::-1][:rank]
    return Principal(_single(mean_D), _single(axes_RD))


def beside(untrained: Untrained, mean_D: np.ndarray, scatter_DD: np.ndarray) -> Mapping[str, Control]:
    """The rows of the table: the trained SAE that an untrained one is like, and controls of as many latents, axes and
    dimensions as that one's k."""
    folder, rank = untrained.folder, untrained.k
    return {
        "sae": Trained(folder),
        "sae_with_error": Trained(folder, with_error=True),
        "pca": principal(mean_D, scatter_DD, rank),
        "untrained": untrained,
        "raw": Raw(_single(mean_D), rank),
    }


def _single(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
