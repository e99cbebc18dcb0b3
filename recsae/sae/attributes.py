"""Exact Pearson correlations between single latents and single attributes, from sums that add up over shards.

    r(h, a) = (Σ z_h y_a − Σ z_h Σ y_a / n) / √((Σ z_h² − (Σ z_h)² / n) (Σ y_a − (Σ y_a)² / n))        y_a: 0 or 1

over n cases, where y_a is 1 if the case's item has the attribute. The reported figure is the mean over attributes of
the best latent's r, as in Klenitskiy et al. 2025 (arXiv 2507.12202), who take the mean over genres.

The best of many latents is a maximum and rises with their number by chance alone; nothing here corrects for that.
Compare it with the raw dimensions and with an untrained SAE of the same size; the permutation null of the best is in
recsae/statistics/permutation_null.py. Besides the sums, this module counts the cases in which a latent fires.

Shape suffixes: B cases, D their width, H latents (or raw dimensions), K the most latents active in a case, I items,
A attributes, N and T rows of a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

MIN_SUPPORT = 50
"""Least number of cases with an attribute; on fewer, a correlation is mostly noise."""
MAX_ATTRIBUTES = 1000
MAX_SUMS = 2**25
"""Limit on the float64 cross sums of all codes together, 256 MiB per shard. Above it attributes are dropped, not
latents."""
CONSTANT = 1e-10
"""A variance below this share of the mean square counts as rounding: the latent is constant."""
MAX_FLOATS_PER_BLOCK = 2**22
"""Correlations in memory at a time; all of them would be as large as the sums."""


class Attributes(NamedTuple):
    """Attributes with enough support, most frequent first, and the items that have them."""

    pairs: list[tuple[str, str]]
    """Name and value."""
    support_A: np.ndarray
    """int64 number of cases whose item has the attribute."""
    has_IA: sparse.csr_array
    """float64, 1 where the item has the attribute."""
    cases: int


class AttributeSums(NamedTuple):
    """float64 sums over cases under one code: each latent's sum, its sum of squares, and its sum per attribute."""

    total_H: np.ndarray
    square_H: np.ndarray
    cross_AH: np.ndarray


class FiringCounts(NamedTuple):
    """int64 numbers of cases in which each latent is active, in total and per attribute of the case's item."""

    count_H: np.ndarray
    both_AH: np.ndarray


class TopAttributes(NamedTuple):
    """The most correlated attributes of each latent that is not constant, sorted by latent, then by falling |r|."""

    latent_N: np.ndarray
    row_N: np.ndarray
    """Index of the attribute in `Attributes`."""
    rank_N: np.ndarray
    """From 0; ties go to the more frequent attribute."""
    correlation_N: np.ndarray


class BestCorrelations(NamedTuple):
    """For every attribute its support, its best correlation and the latent that has it; ties go to the lowest latent.

    For raw dimensions both signs count, and `best_A` is the largest |r|.
    """

    attributes: list[tuple[str, str]]
    support_A: np.ndarray
    best_A: np.ndarray
    latent_A: np.ndarray

    @property
    def mean(self) -> float | None:
        """Mean best correlation over attributes; None if no attribute has enough support."""
        return float(self.best_A.mean()) if len(self.best_A) else None


def attribute_rows(correlated: Mapping[str, BestCorrelations], latents_of: str) -> list[dict[str, Any]]:
    """One row per attribute, most frequent first: its best correlation under each code, and the best latent of one."""
    mine = correlated[latents_of]
    return [
        {
            "attribute": name,
            "value": value,
            "cases": int(mine.support_A[row]),
            "latent": int(mine.latent_A[row]),
            **{code: float(found.best_A[row]) for code, found in correlated.items()},
        }
        for row, (name, value) in enumerate(mine.attributes)
    ]


def select_attributes(
    attributes: Sequence[Mapping[str, Sequence[str]]], cases_I: np.ndarray, latents: int
) -> Attributes:
    """Attributes of at least MIN_SUPPORT cases, at most MAX_ATTRIBUTES, and at most MAX_SUMS / `latents`.

    `attributes` is by item (as in the catalogue), `cases_I` is the number of cases of each item, and `latents` the
    number of latents of all codes together. An attribute that every case has is left out, because it is constant.
    """
    column_of: dict[tuple[str, str], int] = {}
    items, columns = [], []
    for item, by_name in enumerate(attributes):
        for pair in ((name, value) for name, values in by_name.items() for value in values):
            items.append(item)
            columns.append(column_of.setdefault(pair, len(column_of)))
    has_IA = sparse.csr_array((np.ones(len(items)), (items, columns)), shape=(len(attributes), len(column_of)))
    support_A = (has_IA.T @ cases_I).astype(np.int64)
    pairs, cases = list(column_of), int(cases_I.sum())
    found = np.flatnonzero((support_A >= MIN_SUPPORT) & (support_A < cases)).tolist()
    selected = sorted(found, key=lambda column: (-support_A[column], pairs[column]))
    selected = selected[: min(MAX_ATTRIBUTES, MAX_SUMS // max(latents, 1))]
    return Attributes([pairs[column] for column in selected], support_A[selected], has_IA[:, selected], cases)


def zero_sums(latents: int, attributes: int) -> AttributeSums:
    """All-zero sums."""
    return AttributeSums(np.zeros(latents), np.zeros(latents), np.zeros((attributes, latents)))


def zero_counts(latents: int, attributes: int) -> FiringCounts:
    """All-zero counts."""
    return FiringCounts(np.zeros(latents, dtype=np.int64), np.zeros((attributes, latents), dtype=np.int64))


def as_matrix(index_BK: np.ndarray, value_BK: np.ndarray, latents: int) -> sparse.csr_array:
    """Active latents as a float64 matrix `(B, latents)`; slots with `value_BK` 0 are empty."""
    active_BK = value_BK != 0
    starts = np.concatenate([[0], np.cumsum(active_BK.sum(1))])
    value_N = value_BK[active_BK].astype(np.float64)
    return sparse.csr_array((value_N, index_BK[active_BK], starts), shape=(len(index_BK), latents))


def add_latents(sums: AttributeSums, index_BK: np.ndarray, value_BK: np.ndarray, has_BA: sparse.csr_array) -> None:
    """Add cases to the sums by their active latents; slots with `value_BK` 0 are empty."""
    width = len(sums.total_H)
    code_BH = as_matrix(index_BK, value_BK, width)
    sums.total_H[:] += np.bincount(code_BH.indices, code_BH.data, width)
    sums.square_H[:] += np.bincount(code_BH.indices, np.square(code_BH.data), width)
    found = (has_BA.T.tocsr() @ code_BH).tocoo()
    sums.cross_AH[found.row, found.col] += found.data  # the product has no duplicate cells


def add_firings(fires: FiringCounts, index_BK: np.ndarray, value_BK: np.ndarray, has_BA: sparse.csr_array) -> None:
    """Add cases to the counts by their active latents; slots with `value_BK` 0 are empty."""
    fired_BH = as_matrix(index_BK, value_BK != 0, len(fires.count_H))
    fires.count_H[:] += np.bincount(fired_BH.indices, minlength=len(fires.count_H))
    found = (has_BA.T.tocsr() @ fired_BH).tocoo()
    fires.both_AH[found.row, found.col] += found.data.astype(np.int64)


def add_dimensions(sums: AttributeSums, x_BD: np.ndarray, has_BA: sparse.csr_array) -> None:
    """Add cases to the sums by their raw dimensions; r is the same with and without centring."""
    exact_BD = x_BD.astype(np.float64)
    sums.total_H[:] += exact_BD.sum(0)
    sums.square_H[:] += np.square(exact_BD).sum(0)
    sums.cross_AH[:] += has_BA.T @ exact_BD


def add(total: AttributeSums | FiringCounts, part: AttributeSums | FiringCounts) -> None:
    """Add `part` to `total` in place, because both may be large."""
    for target, addend in zip(total, part, strict=True):
        target += addend


def best_latents(sums: AttributeSums, attributes: Attributes, *, both_signs: bool) -> BestCorrelations:
    """The best latent of every attribute. A constant latent, such as a dead one, has correlation 0."""
    rows_A = np.arange(len(attributes.pairs))
    best_A = np.full(len(rows_A), -np.inf)
    latent_A = np.zeros(len(rows_A), dtype=np.int32)
    for start, r_AH in _correlations(sums, attributes):
        r_AH = np.abs(r_AH) if both_signs else r_AH
        here_A = r_AH.argmax(1)
        better_A = r_AH[rows_A, here_A] > best_A
        best_A = np.where(better_A, r_AH[rows_A, here_A], best_A)
        latent_A = np.where(better_A, start + here_A, latent_A).astype(np.int32)
    return BestCorrelations(attributes.pairs, attributes.support_A, best_A, latent_A)


def top_attributes(sums: AttributeSums, attributes: Attributes, count: int) -> TopAttributes:
    """The `count` most correlated attributes of each latent by |r|; a constant latent has none."""
    varies_H, _ = deviations(sums, attributes.cases)
    pieces = []
    for start, r_AH in _correlations(sums, attributes):
        order_HT = np.argsort(-np.abs(r_AH.T), axis=1, kind="stable")[:, :count]
        here_H, rank_T = np.flatnonzero(varies_H[start : start + r_AH.shape[1]]), np.arange(order_HT.shape[1])
        row_N, latent_N = order_HT[here_H].ravel(), np.repeat(here_H, len(rank_T))
        pieces.append((latent_N + start, row_N, np.tile(rank_T, len(here_H)), r_AH[row_N, latent_N]))
    return TopAttributes(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def deviations(sums: AttributeSums, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each latent varies, and its `√Σ (z − mean)²`; 1 for a constant latent."""
    variance_H = sums.square_H - np.square(sums.total_H) / max(cases, 1)
    varies_H = variance_H > CONSTANT * sums.square_H
    return varies_H, np.sqrt(np.where(varies_H, variance_H, 1.0))


def _correlations(sums: AttributeSums, attributes: Attributes) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first latent of a block and its r `(A, H)`; 0 for a constant latent."""
    n = max(attributes.cases, 1)
    varies_H, deviation_H = deviations(sums, n)
    share_A1 = (attributes.support_A / n)[:, None]
    spread_A1 = np.array([[support - support**2 / n] for support in attributes.support_A.tolist()]).reshape(-1, 1)
    at_once = max(1, MAX_FLOATS_PER_BLOCK // max(len(share_A1), 1))
    for start in range(0, len(varies_H), at_once):
        some = slice(start, start + at_once)
        covariance_AH = sums.cross_AH[:, some] - sums.total_H[some] * share_A1
        yield start, np.where(varies_H[some], covariance_AH / deviation_H[some], 0.0) / np.sqrt(spread_A1)
