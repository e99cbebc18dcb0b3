"""How well a judge separates activating from non-activating cases: counts, AUC, balanced accuracy, intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsae.stats import bootstrap

LEAST_USERS = 5
"""Fewest users with activating cases, and with non-activating ones, for an interval: a handful of right answers would
resample to a lower bound of 1."""


class ConfusionCounts(NamedTuple):
    """Activating cases judged active (tp) or not (fn), non-activating cases judged active (fp) or not (tn)."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def precision(self) -> float | None:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def true_negative_rate(self) -> float | None:
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float | None:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def confidence(self) -> float | None:
        """Balanced accuracy: the mean of the true-positive and the true-negative rate; 0.5 is chance."""
        positive, negative = self.recall, self.true_negative_rate
        return None if positive is None or negative is None else (positive + negative) / 2

    def columns(self) -> dict[str, int | float | None]:
        """The counts and what follows from them, as tables of scores name them."""
        derived = {name: getattr(self, name) for name in ("precision", "recall", "f1", "confidence")}
        return {**self._asdict(), **derived}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def count(judged: np.ndarray, active: np.ndarray) -> ConfusionCounts:
    """Both `(cases,)` booleans."""
    tp = int(np.count_nonzero(judged & active))
    fp, fn = int(np.count_nonzero(judged)) - tp, int(np.count_nonzero(active)) - tp
    return ConfusionCounts(tp, fp, len(judged) - tp - fp - fn, fn)


def auc(value: np.ndarray, active: np.ndarray) -> float | None:
    """P(an activating case's value is above a non-activating one's), ties counted half; None unless there are both."""
    positive, negative = value[active], np.sort(value[~active])
    if not len(positive) or not len(negative):
        return None
    below = np.searchsorted(negative, positive, side="left")
    upto = np.searchsorted(negative, positive, side="right")
    return float((below + upto).sum() / (2 * len(positive) * len(negative)))


def youden(value: np.ndarray, active: np.ndarray) -> float | None:
    """The largest difference of true- and false-positive rate over thresholds (Youden 1950); None unless both occur."""
    positive, negative = np.sort(value[active]), np.sort(value[~active])
    if not len(positive) or not len(negative):
        return None
    below = [np.searchsorted(found, value, side="left") / len(found) for found in (positive, negative)]
    return max(0.0, float((below[1] - below[0]).max()))


def auc_error(value: float, active: int, inactive: int) -> float:
    """The standard error of an AUC over so many cases of either class, at least one each (Hanley & McNeil 1982)."""
    both_above, both_below = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (
        value * (1 - value) + (active - 1) * (both_above - value**2) + (inactive - 1) * (both_below - value**2)
    ) / (active * inactive)
    return float(np.sqrt(max(variance, 0.0)))


def interval(
    judged: np.ndarray, active: np.ndarray, user: np.ndarray, resamplings: int, seed: int
) -> tuple[float, float] | None:
    """The 95 % percentile interval of the balanced accuracy, resampling users with all their cases.

    None where fewer than LEAST_USERS users have activating cases, or non-activating ones.
    """
    users, place = np.unique(user, return_inverse=True)

    def of_each(cases: np.ndarray) -> np.ndarray:
        return np.bincount(place[cases], minlength=len(users))

    positive, negative = of_each(active), of_each(~active)
    if min(np.count_nonzero(positive), np.count_nonzero(negative)) < LEAST_USERS:
        return None
    by_user = np.stack([positive, of_each(active & judged), negative, of_each(~active & ~judged)], axis=1)
    positives, hits, negatives, passes = bootstrap.resampled_sums(by_user, resamplings, seed).T
    drawn = (positives > 0) & (negatives > 0)
    balanced = (hits[drawn] / positives[drawn] + passes[drawn] / negatives[drawn]) / 2
    lower, upper = bootstrap.interval(balanced)
    return lower, upper
