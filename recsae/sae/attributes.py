"""How well single latents answer to single attributes: exact Pearson correlations, from sums that shards add up to.

    r(h, a) = (Σ z_h y_a − Σ z_h Σ y_a / n) / √((Σ z_h² − (Σ z_h)² / n) (Σ y_a − (Σ y_a)² / n))        y_a: 0 or 1

over n cases, y_a saying whether the case's item bears the attribute. The figure is the mean over attributes of the best
latent's r, as Klenitskiy et al. 2025 (arXiv 2507.12202) have it over genres.

The best of many latents is a maximum: it rises with their number by luck alone, and nothing here corrects for that. The
raw dimensions and an untrained SAE of the same size stand beside it for that reason; the null of the best is in
recsae/statistics/permutation_null.py. Beside the sums there may be counts of the cases in which a latent fires.

It knows arrays: no Ray, no shards, no recommender. Shape suffixes: B cases, D their width, H latents (or raw
dimensions), K the most latents active in a case, I items, A attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

MIN_SUPPORT = 50
"""Cases that must bear an attribute: on fewer, a correlation is mostly luck."""
MOST_ATTRIBUTES = 1000
MOST_SUMS = 2**25
"""Cross sums of all codes together, float64: a quarter of a gibibyte a shard. Attributes give way, not latents."""
CONSTANT = 1e-10
"""Share of its mean square below which a variance is taken for the rounding of a latent that never varies."""
FLOATS_AT_ONCE = 2**22
"""Correlations held at a time: their whole is as large as the sums."""


class Attributes(NamedTuple):
    """Attributes with support, the most frequent first, and which item bears which."""

    pairs: list[tuple[str, str]]
    """Name and value."""
    support_A: np.ndarray
    """int64 cases whose item bears it."""
    bears_IA: sparse.csr_array
    """0 and 1, float64."""
    cases: int


class AttributeSums(NamedTuple):
    """What cases add up to under one code, float64: each latent's sum and sum of squares, and its sum by attribute."""

    total_H: np.ndarray
    square_H: np.ndarray
    cross_AH: np.ndarray


class Fires(NamedTuple):
    """In how many cases each latent is active, and in how many of those that bear each attribute; int64."""

    count_H: np.ndarray
    both_AH: np.ndarray


class Listed(NamedTuple):
    """The most correlated attributes of each latent that varies: by latent, and from the largest |r| down."""

    latent_N: np.ndarray
    row_N: np.ndarray
    """Which of the attributes."""
    rank_N: np.ndarray
    """From 0; of equals the more frequent attribute comes first."""
    correlation_N: np.ndarray


class Correlated(NamedTuple):
    """For every attribute its cases, the best correlation and whose it is; the latent with the lowest index of equals.

    Of raw dimensions both signs count: `best_A` is then the largest |r|.
    """

    attributes: list[tuple[str, str]]
    support_A: np.ndarray
    best_A: np.ndarray
    latent_A: np.ndarray

    @property
    def mean(self) -> float | None:
        """The mean best correlation; None where no attribute has support."""
        return float(self.best_A.mean()) if len(self.best_A) else None


def side_by_side(correlated: Mapping[str, Correlated], latents_of: str) -> list[dict[str, Any]]:
    """A row for every attribute, the most frequent first: its best correlation under each code, and one's latent."""
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


def choose(attributes: Sequence[Mapping[str, Sequence[str]]], cases_I: np.ndarray, latents: int) -> Attributes:
    """Attributes of at least MIN_SUPPORT cases, at most MOST_ATTRIBUTES, and at most MOST_SUMS / `latents`.

    `attributes` is by item (as in the catalogue), `cases_I` counts the cases of each item, `latents` those of all codes
    together. What every case bears is left out: nothing can be told by it.
    """
    place: dict[tuple[str, str], int] = {}
    items, columns = [], []
    for item, by_name in enumerate(attributes):
        for pair in ((name, value) for name, values in by_name.items() for value in values):
            items.append(item)
            columns.append(place.setdefault(pair, len(place)))
    bears_IA = sparse.csr_array((np.ones(len(items)), (items, columns)), shape=(len(attributes), len(place)))
    support_A = (bears_IA.T @ cases_I).astype(np.int64)
    pairs, cases = list(place), int(cases_I.sum())
    found = np.flatnonzero((support_A >= MIN_SUPPORT) & (support_A < cases)).tolist()
    kept = sorted(found, key=lambda column: (-support_A[column], pairs[column]))
    kept = kept[: min(MOST_ATTRIBUTES, MOST_SUMS // max(latents, 1))]
    return Attributes([pairs[column] for column in kept], support_A[kept], bears_IA[:, kept], cases)


def nothing(latents: int, attributes: int) -> AttributeSums:
    """The sums of no case."""
    return AttributeSums(np.zeros(latents), np.zeros(latents), np.zeros((attributes, latents)))


def never(latents: int, attributes: int) -> Fires:
    """The counts of no case."""
    return Fires(np.zeros(latents, dtype=np.int64), np.zeros((attributes, latents), dtype=np.int64))


def as_matrix(index_BK: np.ndarray, value_BK: np.ndarray, latents: int) -> sparse.csr_array:
    """Active latents as a matrix `(B, latents)`, float64; where `value_BK` is 0 there is none."""
    active_BK = value_BK != 0
    starts = np.concatenate([[0], np.cumsum(active_BK.sum(1))])
    value_N = value_BK[active_BK].astype(np.float64)
    return sparse.csr_array((value_N, index_BK[active_BK], starts), shape=(len(index_BK), latents))


def add_latents(sums: AttributeSums, index_BK: np.ndarray, value_BK: np.ndarray, bears_BA: sparse.csr_array) -> None:
    """Add cases by their active latents; where `value_BK` is 0 there is none."""
    width = len(sums.total_H)
    code_BH = as_matrix(index_BK, value_BK, width)
    sums.total_H[:] += np.bincount(code_BH.indices, code_BH.data, width)
    sums.square_H[:] += np.bincount(code_BH.indices, np.square(code_BH.data), width)
    found = (bears_BA.T.tocsr() @ code_BH).tocoo()
    sums.cross_AH[found.row, found.col] += found.data  # a product names no cell twice


def add_fires(fires: Fires, index_BK: np.ndarray, value_BK: np.ndarray, bears_BA: sparse.csr_array) -> None:
    """Count cases by their active latents; where `value_BK` is 0 there is none."""
    fired_BH = as_matrix(index_BK, value_BK != 0, len(fires.count_H))
    fires.count_H[:] += np.bincount(fired_BH.indices, minlength=len(fires.count_H))
    found = (bears_BA.T.tocsr() @ fired_BH).tocoo()
    fires.both_AH[found.row, found.col] += found.data.astype(np.int64)


def add_dimensions(sums: AttributeSums, x_BD: np.ndarray, bears_BA: sparse.csr_array) -> None:
    """Add cases by their raw dimensions; r is the same with and without centring."""
    exact_BD = x_BD.astype(np.float64)
    sums.total_H[:] += exact_BD.sum(0)
    sums.square_H[:] += np.square(exact_BD).sum(0)
    sums.cross_AH[:] += bears_BA.T @ exact_BD


def add(total: AttributeSums | Fires, part: AttributeSums | Fires) -> None:
    """Add `part` to `total`, in place: both may fill much of the memory."""
    for whole, piece in zip(total, part, strict=True):
        whole += piece


def best(sums: AttributeSums, attributes: Attributes, *, both_signs: bool) -> Correlated:
    """The best latent of every attribute. One that never varies, as a dead one, correlates by 0."""
    rows_A = np.arange(len(attributes.pairs))
    best_A = np.full(len(rows_A), -np.inf)
    latent_A = np.zeros(len(rows_A), dtype=np.int32)
    for start, r_AH in _correlations(sums, attributes):
        r_AH = np.abs(r_AH) if both_signs else r_AH
        here_A = r_AH.argmax(1)
        better_A = r_AH[rows_A, here_A] > best_A
        best_A = np.where(better_A, r_AH[rows_A, here_A], best_A)
        latent_A = np.where(better_A, start + here_A, latent_A).astype(np.int32)
    return Correlated(attributes.pairs, attributes.support_A, best_A, latent_A)


def listed(sums: AttributeSums, attributes: Attributes, count: int) -> Listed:
    """The `count` most correlated attributes of each latent, by |r|; a latent that never varies has none."""
    varies_H, _ = deviations(sums, attributes.cases)
    pieces = []
    for start, r_AH in _correlations(sums, attributes):
        order_HT = np.argsort(-np.abs(r_AH.T), axis=1, kind="stable")[:, :count]
        here_H, rank_T = np.flatnonzero(varies_H[start : start + r_AH.shape[1]]), np.arange(order_HT.shape[1])
        row_N, latent_N = order_HT[here_H].ravel(), np.repeat(here_H, len(rank_T))
        pieces.append((latent_N + start, row_N, np.tile(rank_T, len(here_H)), r_AH[row_N, latent_N]))
    return Listed(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def deviations(sums: AttributeSums, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each latent varies at all, and `√Σ (z − mean)²`, or 1 where it does not."""
    variance_H = sums.square_H - np.square(sums.total_H) / max(cases, 1)
    varies_H = variance_H > CONSTANT * sums.square_H
    return varies_H, np.sqrt(np.where(varies_H, variance_H, 1.0))


def _correlations(sums: AttributeSums, attributes: Attributes) -> Iterator[tuple[int, np.ndarray]]:
    """r `(A, H)` of some latents at a time, and which is the first of them; 0 where one never varies."""
    n = max(attributes.cases, 1)
    varies_H, deviation_H = deviations(sums, n)
    share_A1 = (attributes.support_A / n)[:, None]
    spread_A1 = np.array([[support - support**2 / n] for support in attributes.support_A.tolist()]).reshape(-1, 1)
    at_once = max(1, FLOATS_AT_ONCE // max(len(share_A1), 1))
    for start in range(0, len(varies_H), at_once):
        some = slice(start, start + at_once)
        covariance_AH = sums.cross_AH[:, some] - sums.total_H[some] * share_A1
        yield start, np.where(varies_H[some], covariance_AH / deviation_H[some], 0.0) / np.sqrt(spread_A1)
