"""HR and NDCG from counts of ranks, and their intervals over users.

Counts are integers, so they add up exactly over chunks and workers, as do those of every resample. There are two
bootstraps over users, and neither needs to know of other chunks: `resample` is the cheaper, for one model; in
`weighted_sums` a user has the same weights wherever he turns up, so that models can be compared. It knows ranks, and
nothing of models or cases. Shape suffixes: C cases, K counted ranks, G groups of users, S resamples, U users, Q hashes
of four resamples, X any number of columns.
"""

from __future__ import annotations

import math

import numpy as np

from recsae.hashing import GOLDEN, finalise

CUTOFFS = (5, 10, 20, 50)
DEEPEST = max(CUTOFFS)
INTERVAL = (0.025, 0.975)
DRAWS_AT_ONCE = 1_000_000
LEVELS = 2**16
"""Steps of the uniform number behind a weight: of one hash there are four."""
POISSON = np.searchsorted(
    np.cumsum([math.exp(-1) / math.factorial(weight) for weight in range(20)]), (np.arange(LEVELS) + 0.5) / LEVELS
).astype(np.uint8)
"""The inverse distribution function of Poisson(1)."""


def count(rank_C: np.ndarray) -> np.ndarray:
    """How many targets rank 1, 2, … DEEPEST, and beyond (last entry)."""
    return np.bincount(np.minimum(rank_C, DEEPEST + 1) - 1, minlength=DEEPEST + 1)


def count_by_user(rank_C: np.ndarray, user_C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The users in order, `(U,)`, and `count` of each `(U, K)`."""
    users, user = np.unique(user_C, return_inverse=True)
    place = user * (DEEPEST + 1) + np.minimum(rank_C, DEEPEST + 1) - 1
    return users, np.bincount(place, minlength=len(users) * (DEEPEST + 1)).reshape(-1, DEEPEST + 1)


def figures(count_K: np.ndarray) -> dict[str, float]:
    """`hr@k` (share of targets within the first k) and `ndcg@k` (mean of 1/log2(1 + rank) within k); 0 of no cases."""
    return {name: float(value) for name, value in each(count_K).items()}


def resample(rank_C: np.ndarray, user_C: np.ndarray, resamples: int, draw: np.random.Generator) -> np.ndarray:
    """Counts of ranks `(S, K)` with all cases of a user taken Poisson(1) times, each resample anew.

    A bootstrap over users whose chunks need not know of each other (Chamandy et al. 2012, "Estimating Uncertainty for
    Massive Data Streams"). Users whose cases rank alike are drawn together: the weights of m of them add up to
    Poisson(m).
    """
    found_SK = np.zeros((resamples, DEEPEST + 1), dtype=np.int64)
    if not len(rank_C):
        return found_SK
    _, count_UK = count_by_user(rank_C, user_C)
    count_GK, users_G = np.unique(count_UK, axis=0, return_counts=True)
    at_once = max(1, DRAWS_AT_ONCE // len(users_G))
    for start in range(0, resamples, at_once):
        here_SK = found_SK[start : start + at_once]
        weight_SG = draw.poisson(users_G, (len(here_SK), len(users_G)))
        here_SK[:] = weight_SG.astype(np.float64) @ count_GK  # whole numbers, far below 2⁵³
    return found_SK


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


def intervals(resampled_SK: np.ndarray) -> dict[str, list[float]]:
    """The middle 95 % of each figure over the resamples that drew anybody, `[low, high]`; zeros where none did."""
    drawn = resampled_SK[resampled_SK.sum(1) > 0]
    return {name: interval(values) for name, values in each(drawn).items()}


def interval(value_S: np.ndarray) -> list[float]:
    """The middle 95 % of the values that are numbers, `[low, high]`; zeros where none is."""
    known = value_S[~np.isnan(value_S)]
    return np.quantile(known, INTERVAL).tolist() if len(known) else [0.0, 0.0]


def each(count_SK: np.ndarray) -> dict[str, np.ndarray]:
    """`figures` of every resample."""
    total = np.maximum(count_SK.sum(-1), 1)
    gain = 1 / np.log2(np.arange(1, DEEPEST + 1) + 1)
    found: dict[str, np.ndarray] = {}
    for k in CUTOFFS:
        found[f"hr@{k}"] = count_SK[..., :k].sum(-1) / total
        found[f"ndcg@{k}"] = (count_SK[..., :k] * gain[:k]).sum(-1) / total
    return found
