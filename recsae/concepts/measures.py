"""How well a judge tells a latent's active cases from its silent ones: counts, AUC, balanced accuracy, intervals.

It knows numbers: predictions, truth, and whose case it was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_USERS = 5
"""Users with active cases, and users with silent ones, below which there is no interval: a few right answers resample
to a lower bound of 1, however few they are."""


class Counts(NamedTuple):
    """Active cases judged active (tp) or silent (fn), silent cases judged active (fp) or silent (tn)."""

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
    def f1(self) -> float | None:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def confidence(self) -> float | None:
        """Balanced accuracy: the mean of the true-positive and the true-negative rate; .5 is chance."""
        positive, negative = self.recall, _ratio(self.tn, self.tn + self.fp)
        return None if positive is None or negative is None else (positive + negative) / 2


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def count(judged: np.ndarray, active: np.ndarray) -> Counts:
    """Both `(cases,)` booleans."""
    return Counts(
        int((judged & active).sum()),
        int((judged & ~active).sum()),
        int((~judged & ~active).sum()),
        int((~judged & active).sum()),
    )


def auc(value: np.ndarray, active: np.ndarray) -> float | None:
    """P(an active case's value is above a silent one's), ties counted half; None without both kinds."""
    positive, negative = value[active], np.sort(value[~active])
    if not len(positive) or not len(negative):
        return None
    below = np.searchsorted(negative, positive, side="left")
    upto = np.searchsorted(negative, positive, side="right")
    return float((below + upto).sum() / (2 * len(positive) * len(negative)))


def interval(
    judged: np.ndarray, active: np.ndarray, user: np.ndarray, resamplings: int, seed: int
) -> tuple[float, float] | None:
    """The 95 % percentile interval of the balanced accuracy, resampling users with all their cases.

    None where fewer than LEAST_USERS users have active cases, or silent ones.
    """
    users, place = np.unique(user, return_inverse=True)
    if min(len(np.unique(user[active])), len(np.unique(user[~active]))) < LEAST_USERS:
        return None
    draw = np.random.default_rng(seed)
    weight = draw.multinomial(len(users), np.full(len(users), 1 / len(users)), size=resamplings)[:, place]
    positive, negative = weight * active, weight * ~active
    with np.errstate(invalid="ignore"):
        hit = (positive * judged).sum(1) / positive.sum(1)
        miss = (negative * ~judged).sum(1) / negative.sum(1)
    balanced = (hit + miss) / 2
    lower, upper = np.nanpercentile(balanced, [2.5, 97.5])
    return float(lower), float(upper)
