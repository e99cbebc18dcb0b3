"""Agreement beyond chance between raters, and intervals of shares.

Each figure is a function of sums over questions, so that an interval resamples sums and not answers: a function takes
arrays whose last axis holds its terms, `(…, T)`, and returns `(…)`, NaN where it is undefined. The formulas are short
and written here: scikit-learn has Cohen's kappa and statsmodels Fleiss', but neither takes unanswered questions, and
two dependencies would replace a dozen lines. Shape suffixes: Q questions, K categories, T terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np

from recsae.stats import bootstrap

Statistic = Callable[[np.ndarray], np.ndarray]
RESAMPLINGS = 1000
LEAST_GROUPS = 5
"""Fewest concepts for an interval."""
Z = 1.959963984540054
"""The normal quantile of 97.5 %."""


def cohen(cells: np.ndarray) -> np.ndarray:
    """κ = (p_o − p_e) / (1 − p_e) of two raters (Cohen 1960), from `(…, K·K)` counts of questions by what the first and
    what the second said: p_o is the share on which they agree, p_e that expected of their own shares of each category.

    Undefined without a question, or where both always give one and the same answer, so that chance alone would agree.
    """
    size = round(sqrt(cells.shape[-1]))
    table = cells.reshape(*cells.shape[:-1], size, size).astype(np.float64)
    n = table.sum((-2, -1))
    observed = _ratio(np.trace(table, axis1=-2, axis2=-1), n)
    expected = _ratio((table.sum(-1) * table.sum(-2)).sum(-1), n**2)
    return _ratio(observed - expected, 1 - expected)


def cells(first_Q: np.ndarray, second_Q: np.ndarray) -> np.ndarray:
    """The terms of `cohen`, `(Q, 4)`, from answers 1, 0 or NaN; a question that one of the two left open does not
    count."""
    return np.stack([(first_Q == one) & (second_Q == other) for one in (1, 0) for other in (1, 0)], axis=1)


def fleiss(terms: np.ndarray) -> np.ndarray:
    """κ = (P̄ − P̄_e) / (1 − P̄_e) of any number of raters (Fleiss 1971), from the sums of `agreeing`.

    P̄ is the mean over questions of the share of pairs of raters that agree, P̄_e = Σ p_j² with p_j the share of all
    answers in category j. Undefined where no two people answered one question, or all answers are the same.
    """
    agreed, questions, counts = terms[..., 0], terms[..., 1], terms[..., 2:]
    share = _ratio(counts, counts.sum(-1, keepdims=True))
    expected = (share**2).sum(-1)
    return _ratio(_ratio(agreed, questions) - expected, 1 - expected)


def agreeing(counts_QK: np.ndarray) -> np.ndarray:
    """The terms of `fleiss`, `(Q, 2 + K)`: Σ_j n_ij (n_ij − 1) / (n_i (n_i − 1)), one, and the counts n_ij.

    Questions may have different numbers of answers n_i; one with fewer than two does not count (Gwet 2014).
    """
    n_Q = counts_QK.sum(1)
    pairs_Q = _ratio((counts_QK * (counts_QK - 1)).sum(1), n_Q * (n_Q - 1))
    terms: np.ndarray = np.where(n_Q[:, None] >= 2, np.column_stack([pairs_Q, np.ones(len(n_Q)), counts_QK]), 0.0)
    return terms


def balanced(terms: np.ndarray) -> np.ndarray:
    """Balanced accuracy from `(…, 4)`: right and total of one class, right and total of the other; 0.5 is chance."""
    first, second = share(terms[..., :2]), share(terms[..., 2:])
    return np.asarray((first + second) / 2)


def share(terms: np.ndarray) -> np.ndarray:
    """The quotient of `(…, 2)`: matching, total."""
    return _ratio(terms[..., 0], terms[..., 1])


def known(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where `whole` is 0 up to rounding."""
    found = np.full(np.broadcast(part, whole).shape, np.nan)
    np.divide(part, whole, out=found, where=np.abs(whole) > 1e-12)
    return found


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `n` trials (Wilson 1927); it does not shrink to a point at 0 and 1.

    For a mean of `n` values between 0 and 1 it is conservative: their variance is at most share (1 − share).
    """
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)  # at 0 and 1 its end is there but for rounding


def balanced_interval(positive: float, n_positive: int, negative: float, n_negative: int) -> tuple[float, float]:
    """The 95 % interval of the mean of two shares of different cases, from the score interval of each by the
    square-and-add method (Newcombe 1998, method 10; for sums Zou & Donner 2008)."""
    (low_p, high_p), (low_n, high_n) = wilson(positive, n_positive), wilson(negative, n_negative)
    middle = (positive + negative) / 2
    down = sqrt((positive - low_p) ** 2 + (negative - low_n) ** 2) / 2
    up = sqrt((high_p - positive) ** 2 + (high_n - negative) ** 2) / 2
    return max(0.0, middle - down), min(1.0, middle + up)


def interval(
    statistic: Statistic, terms_QT: np.ndarray, group_Q: np.ndarray, sides: Sequence[np.ndarray], seed: int
) -> tuple[float, float] | None:
    """The 95 % percentile interval of a statistic, resampling groups of questions (concepts) whole.

    `sides` are the sets of questions that the statistic compares, as booleans `(Q,)`; groups are drawn among all of
    them. None where a side has questions of fewer than LEAST_GROUPS groups, or more than half of the resamples are
    undefined.
    """
    if min(len(np.unique(group_Q[side])) for side in sides) < LEAST_GROUPS:
        return None
    groups = np.unique(group_Q[np.any(sides, axis=0)])
    sums = np.stack([terms_QT[group_Q == group].sum(0) for group in groups]).astype(np.float64)
    values = statistic(bootstrap.resampled_sums(sums, RESAMPLINGS, seed))
    if np.count_nonzero(~np.isnan(values)) <= RESAMPLINGS // 2:
        return None
    lower, upper = bootstrap.interval(values)
    return lower, upper
