"""How well single latents answer to single attributes: exact Pearson correlations, from sums that shards add up to.

    r(h, a) = (Σ z_h y_a − Σ z_h Σ y_a / n) / √((Σ z_h² − (Σ z_h)² / n) (Σ y_a − (Σ y_a)² / n))        y_a: 0 or 1

over n cases, y_a saying whether the case's item bears the attribute. The figure is the mean over attributes of the best
latent's r, as Klenitskiy et al. 2025 (arXiv 2507.12202) have it over genres.

The best of many latents is a maximum: it rises with their number by luck alone, and nothing here corrects for that. The
raw dimensions and an untrained SAE of the same size stand beside it for that reason.

It knows arrays: no Ray, no shards, no recommender. Shape suffixes: B cases, D their width, H latents (or raw
dimensions), K the most latents active in a case, I items, A attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class Attributes(NamedTuple):
    """Attributes with support, the most frequent first, and which item bears which."""

    pairs: list[tuple[str, str]]
    """Name and value."""
    support_A: np.ndarray
    """int64 cases whose item bears it."""
    bears_IA: sparse.csr_array
    """0 and 1, float64."""
    cases: int


class Sums(NamedTuple):
    """What cases add up to under one code, float64: each latent's sum and sum of squares, and its sum by attribute."""

    total_H: np.ndarray
    square_H: np.ndarray
    cross_AH: np.ndarray


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


def nothing(latents: int, attributes: int) -> Sums:
    """The sums of no case."""
    return Sums(np.zeros(latents), np.zeros(latents), np.zeros((attributes, latents)))


def add_latents(sums: Sums, index_BK: np.ndarray, value_BK: np.ndarray, bears_BA: sparse.csr_array) -> None:
    """Add cases by their active latents; where `value_BK` is 0 there is none."""
    active_BK = value_BK != 0
    latent, value = index_BK[active_BK], value_BK[active_BK].astype(np.float64)
    width = len(sums.total_H)
    sums.total_H[:] += np.bincount(latent, value, width)
    sums.square_H[:] += np.bincount(latent, np.square(value), width)
    starts = np.concatenate([[0], np.cumsum(active_BK.sum(1))])
    code_BH = sparse.csr_array((value, latent, starts), shape=(len(index_BK), width))
    found = (bears_BA.T.tocsr() @ code_BH).tocoo()
    sums.cross_AH[found.row, found.col] += found.data  # a product names no cell twice


def add_dimensions(sums: Sums, x_BD: np.ndarray, bears_BA: sparse.csr_array) -> None:
    """Add cases by their raw dimensions; r is the same with and without centring."""
    exact_BD = x_BD.astype(np.float64)
    sums.total_H[:] += exact_BD.sum(0)
    sums.square_H[:] += np.square(exact_BD).sum(0)
    sums.cross_AH[:] += bears_BA.T @ exact_BD


def add(total: Sums, part: Sums) -> None:
    """Add `part` to `total`, in place: both may fill much of the memory."""
    for whole, piece in zip(total, part, strict=True):
        whole += piece


def best(sums: Sums, attributes: Attributes, *, both_signs: bool) -> Correlated:
    """The best latent of every attribute. One that never varies, as a dead one, correlates by 0."""
    n = max(attributes.cases, 1)
    variance_H = sums.square_H - np.square(sums.total_H) / n
    varies_H = variance_H > CONSTANT * sums.square_H
    deviation_H = np.sqrt(np.where(varies_H, variance_H, 1.0))
    best_A = np.zeros(len(attributes.pairs))
    latent_A = np.zeros(len(attributes.pairs), dtype=np.int32)
    for column, support in enumerate(attributes.support_A.tolist()):  # by rows: their whole is as large as the sums
        covariance_H = sums.cross_AH[column] - sums.total_H * (support / n)
        r_H = np.where(varies_H, covariance_H / deviation_H, 0.0) / np.sqrt(support - support**2 / n)
        r_H = np.abs(r_H) if both_signs else r_H
        latent_A[column] = r_H.argmax()
        best_A[column] = r_H[latent_A[column]]
    return Correlated(attributes.pairs, attributes.support_A, best_A, latent_A)
