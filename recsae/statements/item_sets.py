"""Finds the seeds of an item set: items around which a latent fires.

The direction that best tells a latent's items apart is Σ lift · v over the items' unit vectors v. Seeds are picked one
after the other among the latent's most telling items so that their mean points along it (orthogonal matching pursuit
with equal weights, Pati et al. 1993); the thresholds follow from the counts. Shape suffixes: I items, A axes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsae.statements.evaluation import centre
from recsae.statements.language import MAX_LISTED, MAX_SEEDS

OFFERED = 40
"""Most telling items offered as seeds."""
RATE_CASES = 10
LEAST_GAP = 1e-5
"""Cosines closer than this are not parted: their order is a matter of rounding."""


class SetFound(NamedTuple):
    """An item set before its seeds have names."""

    seeds: list[int]
    broad: float
    """The least cosine with the highest balanced accuracy."""
    narrow: float
    """The least cosine with the highest F1."""


class ItemCounts(NamedTuple):
    """The cases of each item, `(I,)` float64: those where the latent fires, and all; 0 where kept from the search."""

    fires_I: np.ndarray
    total_I: np.ndarray

    @property
    def w_I(self) -> np.ndarray:
        """Share of the activating cases minus share of the others."""
        fires, others = self.fires_I.sum(), (self.total_I - self.fires_I).sum()
        return np.asarray(self.fires_I / max(fires, 1) - (self.total_I - self.fires_I) / max(others, 1))

    def f1(self, order: np.ndarray) -> np.ndarray:
        """The F1 of the first 1, 2, … of these items."""
        hits, held = np.cumsum(self.fires_I[order]), np.cumsum(self.total_I[order])
        return np.asarray(2 * hits / np.maximum(held + self.fires_I.sum(), 1))


def find_set(counts: ItemCounts, vectors_IA: np.ndarray) -> SetFound | None:
    """The set with the highest balanced accuracy around seeds picked as above; None where no item is telling."""
    expected_I = counts.total_I * counts.fires_I.sum() / max(counts.total_I.sum(), 1)
    lift_I = (counts.fires_I - expected_I) / np.sqrt(expected_I + 1)
    known_I = np.any(vectors_IA != 0, axis=1)
    offered = telling(counts, OFFERED)
    offered = offered[known_I[offered]]
    direction = vectors_IA.T @ lift_I.astype(np.float32)
    if not len(offered) or not np.linalg.norm(direction):
        return None
    seeds = offered[pursue(direction, vectors_IA[offered])]
    cosine_I = vectors_IA @ centre(vectors_IA, seeds.tolist())
    return SetFound(*_thresholds(cosine_I, counts, seeds.tolist()))


def telling(counts: ItemCounts, most: int) -> np.ndarray:
    """The items with the largest w above 0, largest first."""
    w_I = counts.w_I
    order = np.argsort(-w_I, kind="stable")[:most]
    return np.asarray(order[w_I[order] > 0])


def pursue(direction: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """Indices of up to MAX_SEEDS rows of `offered` whose sum points along the direction, in the order picked.

    Stops where no further row brings the sum closer.
    """
    unit = direction / np.linalg.norm(direction)
    total = np.zeros_like(unit)
    chosen: list[int] = []
    best = -1.0
    for _ in range(min(MAX_SEEDS, len(offered))):
        sums = total + offered
        cosine = sums @ unit / np.maximum(np.linalg.norm(sums, axis=1), 1e-12)
        cosine[chosen] = -2
        pick = int(np.argmax(cosine))
        if cosine[pick] <= best:
            break
        best = float(cosine[pick])
        chosen.append(pick)
        total = sums[pick]
    return np.array(chosen, dtype=np.int64)


def _thresholds(cosine_I: np.ndarray, counts: ItemCounts, seeds: list[int]) -> tuple[list[int], float, float]:
    """The seeds and both thresholds."""
    seen = np.flatnonzero(counts.total_I > 0)
    order = seen[np.argsort(-cosine_I[seen], kind="stable")]
    falling = np.append(cosine_I[order].astype(np.float64), -1.0)
    cuts = np.flatnonzero(falling[:-1] - falling[1:] > LEAST_GAP)
    broad, narrow = (int(cuts[np.argmax(worth[cuts])]) for worth in (np.cumsum(counts.w_I[order]), counts.f1(order)))
    return seeds, float(falling[broad : broad + 2].mean()), float(falling[narrow : narrow + 2].mean())


def purest(counts: ItemCounts) -> np.ndarray:
    """The items in whose cases the latent fires most often, as many as give the highest F1, at most MAX_LISTED.

    Rates are drawn towards the latent's own by RATE_CASES cases, so that an item seen twice does not lead.
    """
    usual = counts.fires_I.sum() / max(counts.total_I.sum(), 1)
    rate_I = (counts.fires_I + RATE_CASES * usual) / (counts.total_I + RATE_CASES)
    order = np.argsort(-rate_I, kind="stable")[:MAX_LISTED]
    order = order[counts.fires_I[order] > 0]
    return order[: int(np.argmax(counts.f1(order))) + 1] if len(order) else order
