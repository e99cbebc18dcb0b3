"""What luck alone gives the best of many latents: its correlation after attributes are permuted across items.

Whole profiles of attributes move between the items that occur, so what is kept is how often items occur, how alike the
attributes are to each other and how alike latents are; what is lost is which item bears what. Of each permutation the
best latent is taken as of the attributes as they are, over the same cases; how often luck is at least as good gives

    p = (1 + #{permutations with a best at least as large}) / (1 + permutations)

(Phipson & Smyth 2010). Cases meet items only through sums by item, `S_IH`, so a permutation costs one product with
them; the support of an attribute changes with it and is counted anew. Permutation p of a seed is the same for every
code. It knows arrays, and one code at a time. Shape suffixes: N cases, I items that occur, H latents, D dimensions, A
attributes, P permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import ray
import torch
from scipy import sparse

from recsae.distributed import tasks
from recsae.sae import attributes, correlation
from recsae.sae.attributes import AttributeSums
from recsae.sae.correlation import Code
from recsae.sae.model import Encoded
from recsae.statistics.accumulate import Drawn

AT_ONCE = 25
"""Permutations of a task; each task runs the code over the cases once."""
UPPER = 0.95


class Null(NamedTuple):
    """Of each attribute, under one code, on the cases that were drawn."""

    seen_A: np.ndarray
    """The best correlation of the attributes as they are."""
    best_PA: np.ndarray
    """And after each permutation."""

    @property
    def mean_A(self) -> np.ndarray:
        return np.asarray(self.best_PA.mean(0))

    @property
    def upper_A(self) -> np.ndarray:
        """The 95th percentile."""
        return np.asarray(np.quantile(self.best_PA, UPPER, axis=0))

    @property
    def p_A(self) -> np.ndarray:
        return np.asarray((1 + (self.best_PA >= self.seen_A).sum(0)) / (1 + len(self.best_PA)))

    def upper_of_mean(self, of: np.ndarray) -> float:
        """The 95th percentile of the mean over some attributes, which vary less together than each alone."""
        return float(np.quantile(self.best_PA[:, of].mean(1), UPPER))


def null(drawn: Drawn, code: Code, has_IA: sparse.csr_array, permutations: int, seed: int) -> Null:
    """By Ray tasks, each of some permutations."""
    held = ray.put((drawn, code, has_IA))

    def some(numbers: range) -> Any:
        return _some.remote(held, numbers, seed)

    pieces = [range(start, min(start + AT_ONCE, permutations)) for start in range(0, permutations, AT_ONCE)]
    found: list[Null] = list(tasks.in_order(some, pieces, f"permutations, {AT_ONCE} of"))
    return Null(found[0].seen_A, np.concatenate([part.best_PA for part in found]))


@ray.remote
def _some(held: tuple[Drawn, Code, sparse.csr_array], numbers: Sequence[int], seed: int) -> Null:
    torch.set_num_threads(1)
    drawn, code, has_IA = held
    z_NH = values(code, drawn.x_ND.copy())  # torch warns of arrays that may not be written to
    return best_of_permuted(z_NH, drawn.item_N, has_IA, numbers, seed, both_signs=not correlation.is_sparse(code))


def values(code: Code, x_ND: np.ndarray) -> sparse.csr_array | np.ndarray:
    """What a code makes of cases: a sparse matrix where it fires, else all values, about their mean."""
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
) -> Null:
    """The best r of each attribute over all latents, as it is and after some permutations; 0 where it has no spread."""
    occurs, place_N, cases_I = np.unique(item_N, return_inverse=True, return_counts=True)
    number = len(item_N)
    here = sparse.csr_array((np.ones(number), (place_N, np.arange(number))), shape=(len(occurs), number))
    sums = AttributeSums(np.asarray(z_NH.sum(0)), np.asarray((z_NH**2).sum(0)), np.empty(0))
    varies_H, deviation_H = attributes.deviations(sums, number)
    scale_H = varies_H / deviation_H
    scaled_IH = here @ z_NH
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
    return Null(best(profiles_IA), np.stack([best(profiles_IA[order]) for order in orders]))
