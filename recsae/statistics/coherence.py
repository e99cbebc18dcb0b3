"""Coherence of latents: cosines between the activations of each latent's strongest cases.

    within(h)  = mean over i ≠ j of u_hi · u_hj  = (‖s_h‖² − Σ ‖u_hi‖²) / (n_h (n_h − 1))              s_h = Σ_i u_hi
    between(h) = mean over i, g ≠ h, j of u_hi · u_gj = s_h · (S − s_h) / (n_h (N − n_h))               S = Σ_h s_h

u are the vectors of the latent's n_h strongest cases, one per user, scaled to unit length; N is the number over all
latents. Vectors of a recommender share a mean, which alone makes them similar, so both figures are also computed
without it. RecSAE's code (Wang et al., arXiv 2411.06112) takes the top two cases: .584 with k = 32, .684 with k = 8,
raw dimensions .385.

A raw dimension has two ends; its strongest cases are those of the end farther from the mean. Shape suffixes: N selected
or candidate cases, D width, H latents, B cases of a block or shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from recsae.evidence.top_per_group import first_per_group

CASES = 5
"""Strongest cases per latent, one per user; RecSAE writes its concepts from the same number."""
CANDIDATES_PER_BLOCK = 2**18
Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Latents, their values, and the row of each case."""


class Strongest(NamedTuple):
    """The strongest cases of each latent, sorted by latent, then by falling value, then by case id."""

    latent_N: np.ndarray
    value_N: np.ndarray
    user_N: np.ndarray
    case_N: np.ndarray
    x_ND: np.ndarray

    def plus(self, other: Strongest) -> Strongest:
        """The strongest cases of both; the operation is commutative."""
        return _strongest(Strongest(*(np.concatenate(pair) for pair in zip(self, other, strict=True))))


class Coherence(NamedTuple):
    """Mean cosines of each latent; NaN if it has fewer than two cases or there is no other latent."""

    within_H: np.ndarray
    between_H: np.ndarray
    within_centred_H: np.ndarray
    between_centred_H: np.ndarray


class StrongestFinder:
    """Finds the strongest cases of one shard, block by block; their vectors are gathered only at the end."""

    def __init__(self, latents: int) -> None:
        nothing = np.empty(0, dtype=np.int64)
        self._selected = Strongest(
            nothing, np.empty(0), nothing, nothing, nothing
        )  # x_ND holds row indices until the end
        self._floor_H = np.full(latents, -np.inf)

    def add(
        self, latent_N: np.ndarray, value_N: np.ndarray, row_N: np.ndarray, user_B: np.ndarray, case_B: np.ndarray
    ) -> None:
        """Add candidates by their rows in the shard; a (latent, case) pair occurs at most once."""
        new = np.flatnonzero(value_N >= self._floor_H[latent_N])  # soon only a few per block
        row_N = row_N[new]
        candidates = Strongest(
            latent_N[new].astype(np.int64), value_N[new].astype(np.float64), user_B[row_N], case_B[row_N], row_N
        )
        self._selected = self._selected.plus(candidates)
        last_N = np.flatnonzero(np.diff(self._selected.latent_N, append=-1))
        count_N = np.diff(last_N, prepend=-1)
        full = last_N[count_N == CASES]
        self._floor_H[self._selected.latent_N[full]] = self._selected.value_N[full]

    def found(self, x_BD: np.ndarray) -> Strongest:
        """The strongest cases with their vectors, given all vectors of the shard."""
        return self._selected._replace(x_ND=x_BD[self._selected.x_ND])


def ends(away_BD: np.ndarray) -> Iterator[Candidates]:
    """Yield raw dimensions as latents, in blocks of cases: the upper end of dimension d is `d`, the lower `D + d`.

    `away_BD` are deviations from the mean.
    """
    width = away_BD.shape[1]
    at_once = max(1, CANDIDATES_PER_BLOCK // (2 * width))
    for start in range(0, len(away_BD), at_once):
        some_BD = away_BD[start : start + at_once]
        latent_N = np.tile(np.arange(2 * width), len(some_BD))
        row_N = np.repeat(np.arange(start, start + len(some_BD)), 2 * width)
        yield latent_N, np.concatenate([some_BD, -some_BD], axis=1).ravel(), row_N


def farther_ends(both: Strongest, width: int) -> Strongest:
    """The end of each dimension that deviates more, given both as numbered by `ends`; ties go to the upper end."""
    reach_2D = np.full(2 * width, -np.inf)
    np.maximum.at(reach_2D, both.latent_N, both.value_N)
    upper_D = reach_2D[:width] >= reach_2D[width:]
    here = np.flatnonzero((both.latent_N < width) == upper_D[both.latent_N % width])
    selected = Strongest(*(column[here] for column in both))
    return _strongest(selected._replace(latent_N=selected.latent_N % width))


def measure(strongest: Strongest, latents: int, mean_D: np.ndarray) -> Coherence:
    """Cosines within and between latents, of the vectors and of the vectors minus the stream's mean."""
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
    """The strongest cases of each latent, one per user; ties go to the smaller case id."""
    one = first_per_group((cases.latent_N, cases.user_N), (-cases.value_N, cases.case_N), 1)
    order = (-cases.value_N[one], cases.case_N[one])
    index = one[first_per_group((cases.latent_N[one],), order, CASES)]
    return Strongest(*(column[index] for column in cases))
