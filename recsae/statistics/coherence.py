"""How alike the cases are that one latent answers to most strongly: cosines between their probed vectors.

    within(h)  = mean over i ≠ j of u_hi · u_hj  = (‖s_h‖² − Σ ‖u_hi‖²) / (n_h (n_h − 1))              s_h = Σ_i u_hi
    between(h) = mean over i, g ≠ h, j of u_hi · u_gj = s_h · (S − s_h) / (n_h (N − n_h))               S = Σ_h s_h

u are the vectors of the latent's n_h strongest cases, one a user, at unit length; N counts those of all latents. The
vectors of a recommender share a mean, which alone makes them alike, so the same is said once more without it. RecSAE's
code (Wang et al., arXiv 2411.06112) takes the top two cases: .584 with k = 32, .684 with k = 8, raw dimensions .385.

A raw dimension has two ends, and its strongest cases are those of the end that lies farther from the mean. It knows
arrays, and nothing of codes or shards. Shape suffixes: N kept or offered cases, D width, H latents, B cases of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from recsae.evidence.top_per_group import first_per_group

CASES = 5
"""Strongest cases of a latent, one a user; RecSAE writes its concepts from as many."""
OFFERED_AT_ONCE = 2**18
Offer = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Latents, their values, and the rows of the cases."""


class Strongest(NamedTuple):
    """The strongest cases of each latent: by latent, from the strongest down; of equals the smaller case id first."""

    latent_N: np.ndarray
    value_N: np.ndarray
    user_N: np.ndarray
    case_N: np.ndarray
    x_ND: np.ndarray

    def plus(self, other: Strongest) -> Strongest:
        """Of both together; the order of the two does not matter."""
        return _strongest(Strongest(*(np.concatenate(pair) for pair in zip(self, other, strict=True))))


class Coherence(NamedTuple):
    """Cosines of each latent; NaN where it has fewer than two cases, or there is no other latent."""

    within_H: np.ndarray
    between_H: np.ndarray
    within_centred_H: np.ndarray
    between_centred_H: np.ndarray


class Seeker:
    """Seeks the strongest cases of one shard, block by block, and gathers their vectors at the end only."""

    def __init__(self, latents: int) -> None:
        nothing = np.empty(0, dtype=np.int64)
        self._kept = Strongest(nothing, np.empty(0), nothing, nothing, nothing)  # rows stand in for vectors
        self._floor_H = np.full(latents, -np.inf)

    def add(
        self, latent_N: np.ndarray, value_N: np.ndarray, row_N: np.ndarray, user_B: np.ndarray, case_B: np.ndarray
    ) -> None:
        """Offer cases by their rows in the shard; a latent comes with a case once at most."""
        new = np.flatnonzero(value_N >= self._floor_H[latent_N])  # soon a few of a block
        row_N = row_N[new]
        offered = Strongest(
            latent_N[new].astype(np.int64), value_N[new].astype(np.float64), user_B[row_N], case_B[row_N], row_N
        )
        self._kept = self._kept.plus(offered)
        last_N = np.flatnonzero(np.diff(self._kept.latent_N, append=-1))
        count_N = np.diff(last_N, prepend=-1)
        full = last_N[count_N == CASES]
        self._floor_H[self._kept.latent_N[full]] = self._kept.value_N[full]

    def found(self, x_BD: np.ndarray) -> Strongest:
        """With the vectors of the shard that all rows are of."""
        return self._kept._replace(x_ND=x_BD[self._kept.x_ND])


def ends(away_BD: np.ndarray) -> Iterator[Offer]:
    """Dimensions as latents, some cases at a time: the upper end of dimension d is `d`, the lower `D + d`.

    `away_BD` are deviations from the mean.
    """
    width = away_BD.shape[1]
    at_once = max(1, OFFERED_AT_ONCE // (2 * width))
    for start in range(0, len(away_BD), at_once):
        some_BD = away_BD[start : start + at_once]
        latent_N = np.tile(np.arange(2 * width), len(some_BD))
        row_N = np.repeat(np.arange(start, start + len(some_BD)), 2 * width)
        yield latent_N, np.concatenate([some_BD, -some_BD], axis=1).ravel(), row_N


def farther_ends(both: Strongest, width: int) -> Strongest:
    """Of two ends of each dimension, as `ends` has them, the one with the larger deviation; the upper one of equals."""
    reach_2D = np.full(2 * width, -np.inf)
    np.maximum.at(reach_2D, both.latent_N, both.value_N)
    upper_D = reach_2D[:width] >= reach_2D[width:]
    here = np.flatnonzero((both.latent_N < width) == upper_D[both.latent_N % width])
    kept = Strongest(*(column[here] for column in both))
    return _strongest(kept._replace(latent_N=kept.latent_N % width))


def measure(strongest: Strongest, latents: int, mean_D: np.ndarray) -> Coherence:
    """Cosines within and between, of the vectors as they are and less the mean of the stream."""
    plain = _cosines(strongest.latent_N, strongest.x_ND, latents)
    return Coherence(*plain, *_cosines(strongest.latent_N, strongest.x_ND - mean_D, latents))


def _cosines(latent_N: np.ndarray, x_ND: np.ndarray, latents: int) -> tuple[np.ndarray, np.ndarray]:
    exact_ND = x_ND.astype(np.float64)
    unit_ND = exact_ND / np.maximum(np.linalg.norm(exact_ND, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    sum_HD = np.zeros((latents, unit_ND.shape[1]))
    np.add.at(sum_HD, latent_N, unit_ND)
    count_H = np.bincount(latent_N, minlength=latents)
    own_H = np.bincount(latent_N, np.square(unit_ND).sum(1), latents)
    pairs_H, others_H = count_H * (count_H - 1), count_H * (len(latent_N) - count_H)
    with np.errstate(invalid="ignore", divide="ignore"):
        within_H = np.where(pairs_H > 0, (np.square(sum_HD).sum(1) - own_H) / pairs_H, np.nan)
        between_H = np.where(others_H > 0, (sum_HD * (sum_HD.sum(0) - sum_HD)).sum(1) / others_H, np.nan)
    return within_H, between_H


def _strongest(cases: Strongest) -> Strongest:
    """Per latent the strongest cases, one a user; ties go to the smaller case id."""
    one = first_per_group((cases.latent_N, cases.user_N), (-cases.value_N, cases.case_N), 1)
    order = (-cases.value_N[one], cases.case_N[one])
    index = one[first_per_group((cases.latent_N[one],), order, CASES)]
    return Strongest(*(column[index] for column in cases))
