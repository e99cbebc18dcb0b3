"""Bootstraps over users, or over other groups that are drawn whole, and the interval of what they give.

By hash (`weights`, `weighted_sums`) a user has the same weight in every shard, chunk and model, so chunks add up and
differences are paired. Drawn anew (`resampled_sums`) all groups must be at hand; they are drawn with replacement.
Shape suffixes: S resamples, U users, G groups, X any number of columns, Q hashes of four resamples.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from recsae.hashing import GOLDEN, finalise

INTERVAL = (0.025, 0.975)
DRAWS_AT_ONCE = 1_000_000
LEVELS = 2**16
"""Steps of the uniform number behind a weight: of one hash there are four."""
POISSON = np.searchsorted(
    np.cumsum([math.exp(-1) / math.factorial(weight) for weight in range(20)]), (np.arange(LEVELS) + 0.5) / LEVELS
).astype(np.uint8)
"""The inverse distribution function of Poisson(1)."""


def weights(user_U: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Poisson(1) weights `(U, S)`, uint8, by a hash of user, resample and seed alone.

    So a user has the same weight in every shard, chunk and method, and what is resampled by it is paired.
    """
    with np.errstate(over="ignore"):
        start_U1 = finalise((user_U.astype(np.uint64) ^ np.uint64(seed) << np.uint64(32)) * GOLDEN)[:, None]
        hash_UQ = finalise(start_U1 + np.arange(1, -(-resamples // 4) + 1, dtype=np.uint64) * GOLDEN)
    return np.asarray(POISSON[hash_UQ.astype("<u8").view("<u2")[:, :resamples]])


def weighted_sums(value_UX: np.ndarray, user_U: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over users `(1 + S, X)`, float64: as they are, then under the weights of every resample.

    A user may have several rows. Whole numbers add up exactly, in any order.
    """
    sum_SX = np.zeros((1 + resamples, value_UX.shape[1]))
    sum_SX[0] = value_UX.sum(0, dtype=np.float64)
    at_once = max(1, DRAWS_AT_ONCE // max(resamples, 1))
    for start in range(0, len(user_U) if resamples else 0, at_once):
        rows = slice(start, start + at_once)
        sum_SX[1:] += weights(user_U[rows], resamples, seed).T.astype(np.float64) @ value_UX[rows]
    return sum_SX


def resampled_sums(sum_GX: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over as many groups as there are, drawn with replacement, `(S, X)` float64."""
    return np.asarray(_draws(len(sum_GX), resamples, seed) @ sum_GX)


@lru_cache(maxsize=16)
def _draws(groups: int, resamples: int, seed: int) -> np.ndarray:
    """How often each group is drawn, `(S, G)`: the same for all figures of so many groups."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(np.float64)


def interval(value_S: np.ndarray) -> list[float]:
    """The middle 95 % of the values that are numbers, `[low, high]`; zeros where none is."""
    known = value_S[~np.isnan(value_S)]
    return np.quantile(known, INTERVAL).tolist() if len(known) else [0.0, 0.0]
