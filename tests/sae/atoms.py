"""A planted dictionary: activations whose atoms are known, which an SAE must recover."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

D, ATOMS, ACTIVE = 48, 64, 3


class Planted(NamedTuple):
    """Activations that are sums of a few atoms, `(N, D)`, with their mean and scale."""

    atoms_AD: Tensor
    x_ND: np.ndarray
    mean_D: np.ndarray
    scale: float


def planted(rows: int = 40_000, seed: int = 0) -> Planted:
    """Three of 64 atoms in 48 dimensions, with weights of 1 and an exponential half, little noise and a large mean."""
    draw = np.random.default_rng(seed)
    atoms = draw.normal(size=(ATOMS, D))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    chosen = np.argsort(draw.random((rows, ATOMS)), axis=1)[:, :ACTIVE]
    weight = 1 + draw.exponential(0.5, size=chosen.shape)
    noise, mean = 0.01 * draw.normal(size=(rows, D)), 5 * draw.normal(size=D)
    x = (np.einsum("nk,nkd->nd", weight, atoms[chosen]) + noise + mean).astype(np.float32)
    return Planted(torch.from_numpy(atoms).float(), x, x.mean(0), float(np.sqrt(np.square(x - x.mean(0)).mean())))
