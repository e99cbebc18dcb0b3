"""A small stream of cases, an SAE with exact pre-activations in any block, and a reference in plain loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse

from recsae.config.concepts import EvidenceConfig
from recsae.config.sae import Kind
from recsae.sae.model import Sae
from recsae.schemas.base import activations
from recsae.store import shards

WIDTH, LATENTS, K, N_ITEMS, N_TERMS = 5, 9, 3, 30, 6
SMALL = EvidenceConfig(top=4, level=1, random=5, popularity=4, near_miss=3, near_direction=3, sample=12, pool=60)


@dataclass(frozen=True)
class Case:
    """One case; `active` holds the latents that fire in it, with their activation."""

    case_id: int
    user_idx: int
    position: int
    item_idx: int
    top_idx: int
    part: int
    active: dict[int, float]


@dataclass(frozen=True)
class Stream:
    """The same cases as a table and by the loops."""

    table: pa.Table
    cases: list[Case]
    sae: Sae


def integer_sae(seed: int = 0, kind: Kind = "topk") -> Sae:
    """Integer weights, and biases with different fractions: no two latents tie, many cases do."""
    draw = np.random.default_rng(seed)
    sae = Sae(WIDTH, LATENTS, kind, K)
    with torch.no_grad():
        sae.W_enc.copy_(torch.from_numpy(draw.integers(-3, 4, (LATENTS, WIDTH))))
        sae.W_dec.copy_(torch.from_numpy(np.random.default_rng((seed, 1)).standard_normal((LATENTS, WIDTH))))
        sae.b_enc.copy_(torch.arange(LATENTS) / 64 - 4)
        sae.b_enc[LATENTS - 1] = -1000  # dead
    return sae


def stream(seed: int = 0, users: int = 70, kind: Kind = "topk") -> Stream:
    """Users of one part each with 1 to 8 cases, with case ids in random order."""
    draw = np.random.default_rng((seed, users))
    sae, most = integer_sae(kind=kind), K if kind == "topk" else LATENTS
    weight, bias = sae.W_enc.detach().double().numpy(), sae.b_enc.detach().double().numpy()
    rows, vectors = [], []
    for user in range(users):
        part = int(draw.choice(3, p=[0.5, 0.25, 0.25]))
        for position in range(1, int(draw.integers(1, 9)) + 1):
            vector = draw.integers(-3, 4, WIDTH).astype(np.float32)
            pre = weight @ vector + bias
            strongest = sorted(range(LATENTS), key=lambda latent, pre=pre: -pre[latent])[:most]  # type: ignore[misc]
            active = {latent: float(pre[latent]) for latent in strongest if pre[latent] > 0}
            item, top = (int(value) for value in draw.integers(0, N_ITEMS, 2))
            rows.append(Case(int(draw.integers(0, 2**62)), user, position, item, top, part, active))
            vectors.append(vector)
    names = ("case_id", "user_idx", "position", "item_idx", "top_idx", "part")
    columns = {name: [getattr(case, name) for case in rows] for name in names}
    table = pa.table({**columns, "activation": shards.column(np.array(vectors))})
    return Stream(table.cast(activations(WIDTH)), rows, sae)


def popularity() -> np.ndarray:
    return np.random.default_rng(5).zipf(1.5, N_ITEMS).clip(1, 5000).astype(np.int64)


def bears() -> sparse.csr_matrix:
    """Each item has one or two of the terms."""
    draw = np.random.default_rng(6)
    dense = np.zeros((N_ITEMS, N_TERMS), dtype=np.float32)
    dense[np.arange(N_ITEMS), np.arange(N_ITEMS) % N_TERMS] = 1
    dense[np.arange(N_ITEMS), draw.integers(0, N_TERMS, N_ITEMS)] = 1
    return sparse.csr_matrix(dense)


def splitmix(case_id: int, latent: int, seed: int) -> int:
    """The hash of a (latent, case) pair, with Python integers."""
    mask = 2**64 - 1
    mixed = (case_id + (latent + 2) * 0x9E3779B97F4A7C15) & mask
    mixed ^= (seed * 0xD1342543DE82EF95) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)
