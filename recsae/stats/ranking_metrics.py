"""HR and NDCG from counts of ranks, and their intervals over users.

Counts are integers, so they add up exactly over chunks and workers, as do those of every resample. There are two
bootstraps over users, and neither needs to know of other chunks: `resample` is the cheaper, for one model; with
`bootstrap.weighted_sums` a user has the same weights everywhere, so that models can be compared. Shape
suffixes: C cases, K counted ranks, G groups of users, S resamples, U users.
"""

from __future__ import annotations

import numpy as np

from recsae.stats.bootstrap import DRAWS_AT_ONCE, interval

CUTOFFS = (5, 10, 20, 50)
DEEPEST = max(CUTOFFS)


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


def intervals(resampled_SK: np.ndarray) -> dict[str, list[float]]:
    """The middle 95 % of each figure over the resamples that drew anybody, `[low, high]`; zeros where none did."""
    drawn = resampled_SK[resampled_SK.sum(1) > 0]
    return {name: interval(values) for name, values in each(drawn).items()}


def each(count_SK: np.ndarray) -> dict[str, np.ndarray]:
    """`figures` of every resample."""
    total = np.maximum(count_SK.sum(-1), 1)
    gain = 1 / np.log2(np.arange(1, DEEPEST + 1) + 1)
    found: dict[str, np.ndarray] = {}
    for k in CUTOFFS:
        found[f"hr@{k}"] = count_SK[..., :k].sum(-1) / total
        found[f"ndcg@{k}"] = (count_SK[..., :k] * gain[:k]).sum(-1) / total
    return found
