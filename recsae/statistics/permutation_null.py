"""The permutation null of the best latent: its correlation after attributes are permuted across items.

Whole attribute profiles move between the items that occur. This preserves item frequencies, correlations between
attributes and correlations between latents; it breaks the link between items and attributes. For each permutation the
best latent is taken over the same cases as for the observed attributes, and the p-value is

    p = (1 + #{permutations with a best at least as large}) / (1 + permutations)

(Phipson & Smyth 2010). Activations enter only through their sums per item, `S_IH`, so a permutation costs one matrix
product; the support of attributes changes and is recounted. Permutation p of a seed is the same for every code. Shape
suffixes: N cases, I items that occur, H latents, D dimensions, A attributes, P permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.distributed import tasks
from recsae.sae import attributes, correlation
from recsae.sae.attributes import AttributeSums
from recsae.sae.correlation import Code
from recsae.sae.model import Encoded
from recsae.statistics.accumulate import NullSample

PERMUTATIONS_PER_TASK = 25
"""Permutations per task; each task runs the code over the cases once."""
UPPER = 0.95


class PermutationNull(NamedTuple):
    """Best correlations of each attribute under one code, on the sampled cases."""

    observed_A: np.ndarray
    """The observed best correlation."""
    best_PA: np.ndarray
    """The best correlation after each permutation."""

    @property
    def mean_A(self) -> np.ndarray:
        return np.asarray(self.best_PA.mean(0))

    @property
    def upper_A(self) -> np.ndarray:
        """The 95th percentile over permutations."""
        return np.asarray(np.quantile(self.best_PA, UPPER, axis=0))

    @property
    def p_A(self) -> np.ndarray:
        return np.asarray((1 + (self.best_PA >= self.observed_A).sum(0)) / (1 + len(self.best_PA)))

    def upper_of_mean(self, of: np.ndarray) -> float:
        """The 95th percentile of the mean over the attributes `of`, which varies less than that of a single one."""
        return float(np.quantile(self.best_PA[:, of].mean(1), UPPER))


def permute(drawn: NullSample, code: Code, has_IA: sparse.csr_array, permutations: int, seed: int) -> PermutationNull:
    """The permutation null of one code, computed by Ray tasks of several permutations each."""
    shared = drawn, code, has_IA, seed
    pieces = [
        range(start, min(start + PERMUTATIONS_PER_TASK, permutations))
        for start in range(0, permutations, PERMUTATIONS_PER_TASK)
    ]
    found: list[PermutationNull] = list(
        tasks.over(_permute_some, shared, pieces, "permutations", f"times {PERMUTATIONS_PER_TASK}")
    )
    return PermutationNull(found[0].observed_A, np.concatenate([part.best_PA for part in found]))


def _permute_some(shared: tuple[NullSample, Code, sparse.csr_array, int], numbers: Sequence[int]) -> PermutationNull:
    drawn, code, has_IA, seed = shared
    z_NH = values(code, drawn.x_ND.copy())  # torch warns about read-only arrays
    return best_of_permuted(z_NH, drawn.item_N, has_IA, numbers, seed, both_signs=not correlation.is_sparse(code))


def values(code: Code, x_ND: np.ndarray) -> sparse.csr_array | np.ndarray:
    """Latent values of the cases: a sparse matrix for a sparse code, else all values, centred."""
    loaded = correlation.load_code(code)
    blocks = [found for _, found in correlation.encode_blocks(loaded, x_ND)]
    latents = correlation.loaded_width(loaded, x_ND)
    active = [
        attributes.as_matrix(found.index_BK.numpy(), found.value_BK.numpy(), latents)
        for found in blocks
        if isinstance(found, Encoded)
    ]
    if active:
        return sparse.csr_array(sparse.vstack(active, format="csr"))
    z_NH = np.concatenate([np.empty((0, latents)), *(np.asarray(found, dtype=np.float64) for found in blocks)])
    return np.asarray(z_NH - z_NH.sum(0) / max(len(z_NH), 1))


def best_of_permuted(
    z_NH: sparse.csr_array | np.ndarray,
    item_N: np.ndarray,
    has_IA: sparse.csr_array,
    permutations: Sequence[int],
    seed: int,
    *,
    both_signs: bool,
) -> PermutationNull:
    """The best r of each attribute over all latents, observed and after permutations; 0 for a constant attribute."""
    occurs, place_N, cases_I = np.unique(item_N, return_inverse=True, return_counts=True)
    number = len(item_N)
    by_item = sparse.csr_array((np.ones(number), (place_N, np.arange(number))), shape=(len(occurs), number))
    sums = AttributeSums(np.asarray(z_NH.sum(0)), np.asarray((z_NH**2).sum(0)), np.empty(0))
    varies_H, deviation_H = attributes.deviations(sums, number)
    scale_H = varies_H / deviation_H
    scaled_IH = by_item @ z_NH
    scaled_IH = scaled_IH * scale_H if isinstance(scaled_IH, np.ndarray) else (scaled_IH @ sparse.diags_array(scale_H))
    mean_H = sums.total_H * scale_H / max(number, 1)

    def best(profiles_IA: sparse.csr_array) -> np.ndarray:
        support_A = profiles_IA.T @ cases_I
        cross_AH = profiles_IA.T @ scaled_IH
        cross_AH = cross_AH if isinstance(cross_AH, np.ndarray) else cross_AH.toarray()
        cross_AH -= support_A[:, None] * mean_H
        best_A = (np.abs(cross_AH) if both_signs else cross_AH).max(1)
        spread_A = support_A - support_A**2 / max(number, 1)
        return np.where(spread_A > 0, best_A / np.sqrt(np.where(spread_A > 0, spread_A, 1)), 0.0)

    profiles_IA = has_IA[occurs]
    orders = (np.random.default_rng([seed, permutation]).permutation(len(occurs)) for permutation in permutations)
    return PermutationNull(best(profiles_IA), np.stack([best(profiles_IA[order]) for order in orders]))
