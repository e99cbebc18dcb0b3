"""Draws non-activating cases of each latent: random ones, ones matched on popularity, and two kinds of hard negatives.

Hard negatives by attribute (role `near_miss`) share attributes with the active cases. Hard negatives by direction (role
`near_direction`) are cases in which a latent with a similar decoder direction fires. All come from the pool of their
part, and all draws are hashes of the seed. Shape suffixes: A alive latents, B a block of them, D width, F firings in a
pool, H latents, I items, N nearest latents, P cases of a pool, U users of a pool, V terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.config.concepts import EvidenceConfig
from recsae.evidence.sketch import EXPLAIN, Sketch, priority
from recsae.evidence.top_per_group import Rows
from recsae.sae.model import MAX_FLOATS_PER_BLOCK
from recsae.schemas.base import NEAR_DIRECTION, NEAR_MISS, PARTS

NEAREST = 16
"""Number of latents with the most similar direction from which hard negatives are drawn."""

CaseGroup = tuple[Rows, np.ndarray, str, np.ndarray]
"""Cases of one latent, part and role: rows, levels, the role, ranks."""


class MatchingFeatures(NamedTuple):
    """What non-activating cases are matched on: popularity and terms of items, and directions of latents."""

    popularity_I: np.ndarray
    has_IV: sparse.csr_matrix
    nearest_HN: np.ndarray | None = None
    """The latents with the most similar direction, nearest first, padded with -1; None if unknown."""


class NonActivatingSampler:
    """Draws the non-activating cases of every latent from the pools of a sketch."""

    def __init__(
        self, sketch: Sketch, features: MatchingFeatures, view: str, config: EvidenceConfig, seed: int
    ) -> None:
        self._features, self._view, self._config, self._seed = features, view, config, seed
        self._pools = [_Pool.of(sketch, part, features, view) for part in range(len(PARTS))]
        self._rate_V = np.asarray(features.has_IV.mean(axis=0)).ravel()

    def of(self, latent: int, active: list[CaseGroup]) -> list[CaseGroup]:
        """The latent's non-activating cases by part and role, one per user in each where there are enough users."""
        excess_V = self._excess(active)
        return [
            (
                pool.cases.take(index)._replace(latent=np.full(len(index), latent, dtype=np.int32)),
                np.zeros(len(index), dtype=np.int8),
                role,
                np.arange(len(index)),
            )
            for part, pool in enumerate(self._pools)
            for role, index in self._select(latent, part, pool, active, excess_V).items()
        ]

    def _select(
        self, latent: int, part: int, pool: _Pool, active: list[CaseGroup], excess_V: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Disjoint indices into the pool, by role."""
        config = self._config
        drawn = np.argsort(priority(pool.cases.case_id, latent, self._seed))
        inactive_P = np.ones(len(drawn), dtype=bool)
        inactive_P[pool.firing(latent)] = False
        order = drawn[inactive_P[drawn]]
        distinct = pool.first_per_user(order)
        random, rest = distinct[: config.random], distinct[config.random :]
        if len(rest) < config.popularity:  # too few users: allow several cases per user
            rest = order[~np.isin(order, random)]
        target = np.concatenate([rows.item(self._view)[rows.part == part] for rows, *_ in active])
        log_target = np.log1p(self._features.popularity_I[target])
        popular = rest[_closest(log_target, pool.log_popularity_P[rest], config.popularity)]

        unused_P = inactive_P.copy()
        unused_P[random] = unused_P[popular] = False
        similarity_P = pool.has_PV @ excess_V
        similar = order[similarity_P[order] > 0]
        similar = similar[_largest(similarity_P[similar], 4 * config.near_miss)]
        near_miss = pool.first_per_user(similar[unused_P[similar]])[: config.near_miss]
        unused_P[near_miss] = False
        return {
            "random": random,
            "popularity": popular,
            NEAR_MISS: near_miss,
            NEAR_DIRECTION: self._near_direction(latent, pool, drawn, unused_P),
        }

    def _near_direction(self, latent: int, pool: _Pool, drawn: np.ndarray, unused_P: np.ndarray) -> np.ndarray:
        """Unused cases in which the nearest latents fire, sorted by nearness, then by draw."""
        if self._features.nearest_HN is None:
            return np.empty(0, dtype=np.int64)
        firing = [pool.firing(other) for other in self._features.nearest_HN[latent].tolist() if other >= 0]
        found = np.concatenate([np.empty(0, dtype=np.int64), *firing])
        nearness = np.repeat(np.arange(len(firing)), [len(one) for one in firing])[unused_P[found]]
        found = found[unused_P[found]]
        order_P = np.empty(len(drawn), dtype=np.int64)
        order_P[drawn] = np.arange(len(drawn))
        return pool.first_per_user(found[np.lexsort((order_P[found], nearness))])[: self._config.near_direction]

    def _excess(self, active: list[CaseGroup]) -> np.ndarray:
        """Each term's share of the explain evidence minus its share of the catalogue, at least 0."""
        items = np.concatenate([rows.item(self._view)[rows.part == EXPLAIN] for rows, *_ in active])
        if not len(items):
            return np.zeros(self._features.has_IV.shape[1], dtype=np.float32)
        return np.maximum(np.asarray(self._features.has_IV[items].mean(axis=0)).ravel() - self._rate_V, 0)


class _Pool(NamedTuple):
    """Cases of one part from which non-activating ones are drawn."""

    cases: Rows
    user_P: np.ndarray
    """Users, renumbered from 0."""
    has_PV: sparse.csr_matrix
    log_popularity_P: np.ndarray
    start_H: np.ndarray
    case_F: np.ndarray
    """Cases in which latent h fires, from `start_H[h]` to `start_H[h + 1]`."""

    @staticmethod
    def of(sketch: Sketch, part: int, features: MatchingFeatures, view: str) -> _Pool:
        index = np.flatnonzero(sketch.pool.part == part)
        cases, active_PK = sketch.pool.take(index), sketch.active_PK[index]
        items = cases.item(view)
        row_F, column_F = np.nonzero(active_PK >= 0)
        latent_F = active_PK[row_F, column_F]
        fired_H = np.bincount(latent_F, minlength=len(sketch.fired_H))
        return _Pool(
            cases,
            np.unique(cases.user_idx, return_inverse=True)[1],
            features.has_IV[items],
            np.log1p(features.popularity_I[items]),
            np.append(0, np.cumsum(fired_H)),
            row_F[np.argsort(latent_F, kind="stable")],
        )

    def firing(self, latent: int) -> np.ndarray:
        return self.case_F[self.start_H[latent] : self.start_H[latent + 1]]

    def first_per_user(self, order: np.ndarray) -> np.ndarray:
        """The first case of every user, in the given order."""
        user = self.user_P[order]
        first_U = np.full(len(self.user_P), -1)
        first_U[user[::-1]] = np.arange(len(order))[::-1]  # the last write per user wins, hence the reversal
        return np.asarray(order[first_U[user] == np.arange(len(order))])


def nearest(W_dec_HD: np.ndarray, alive: np.ndarray, count: int = NEAREST) -> np.ndarray:
    """For each alive latent, the alive latents with the largest positive cosine, nearest first: int32 `(H, count)`.

    Rows are padded with -1. Cosines are computed in blocks, to bound memory.
    """
    nearest_HN = np.full((len(W_dec_HD), count), -1, dtype=np.int32)
    unit_AD = W_dec_HD[alive] / np.maximum(np.linalg.norm(W_dec_HD[alive], axis=1, keepdims=True), 1e-12)
    at_once = max(1, MAX_FLOATS_PER_BLOCK // max(1, len(alive)))
    for start in range(0, len(alive), at_once):
        cosine_BA = unit_AD[start : start + at_once] @ unit_AD.T
        rows = np.arange(len(cosine_BA))
        cosine_BA[rows, start + rows] = -1  # itself
        first_BN = np.argpartition(-cosine_BA, min(count, len(alive) - 1), axis=1)[:, :count]
        value_BN = np.take_along_axis(cosine_BA, first_BN, axis=1)
        order_BN = np.lexsort((first_BN, -value_BN), axis=1)
        value_BN, first_BN = (np.take_along_axis(of, order_BN, axis=1) for of in (value_BN, first_BN))
        nearest_HN[alive[start + rows], : first_BN.shape[1]] = np.where(value_BN > 0, alive[first_BN], -1)
    return nearest_HN


def _closest(target: np.ndarray, available: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` of `available`, each the closest unused one to the next of `target`, in rotation."""
    if not len(target):
        return np.empty(0, dtype=np.int64)
    distance = np.abs(available[None, :] - target[:count, None])
    selected = []
    for turn in range(min(count, len(available))):
        nearest_one = int(distance[turn % len(distance)].argmin())
        selected.append(nearest_one)
        distance[:, nearest_one] = np.inf
    return np.array(selected, dtype=np.int64)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest values, in descending order; ties go to the first."""
    if 0 < count < len(values):
        at = np.flatnonzero(values >= np.partition(values, -count)[-count])
    else:
        at = np.arange(len(values))
    return np.asarray(at[np.argsort(-values[at], kind="stable")[:count]])
