"""Compares pairs of models of the same data: in how many pairs does the better recommender have more concepts?

Pairs share models, so they are few and not independent: they are counted, not tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

MEASURES = {
    "median_confidence": "median balanced accuracy of statements",
    "share_70": "share of latents at .70 or above",
    "share_75": "share of latents at .75 or above",
    "share_80": "share of latents at .80 or above",
    "at_75": "latents at .75 or above",
    "rarefied": "different concepts among the same number of latents at .75 or above",
    "effective": "effective number of concepts",
    "answered": "attribute values to which a latent responds above chance",
    "answering": "different latents that respond above chance",
    "correlation": "correlation of the best latent, minus that expected by chance",
}
"""Columns of MODELS that measure the number and diversity of concepts, with their descriptions."""


class PairCounts(NamedTuple):
    """Number of pairs in which the better recommender has more of a measure, less of it, or the same."""

    more: int = 0
    less: int = 0
    same: int = 0


class MeasureComparison(NamedTuple):
    measure: str
    every: PairCounts
    """Over all pairs whose NDCG@10 differs."""
    clear: PairCounts
    """Over pairs whose NDCG@10 intervals do not overlap."""


def compare_pairs(models: Sequence[Mapping[str, Any]]) -> tuple[MeasureComparison, ...]:
    """One comparison per measure. Pairs in which either model lacks the measure are not counted."""
    pairs = [
        (one, other) if one["ndcg_10"] > other["ndcg_10"] else (other, one)
        for one, other in combinations(models, 2)
        if one["data_hash"] == other["data_hash"]
        and None not in (one["ndcg_10"], other["ndcg_10"])
        and one["ndcg_10"] != other["ndcg_10"]
    ]
    clear = [pair for pair in pairs if _intervals_disjoint(*pair)]
    return tuple(MeasureComparison(measure, _tally(measure, pairs), _tally(measure, clear)) for measure in MEASURES)


def _intervals_disjoint(better: Mapping[str, Any], worse: Mapping[str, Any]) -> bool:
    lower, upper = better["ndcg_10_lower"], worse["ndcg_10_upper"]
    return lower is not None and upper is not None and lower > upper


def _tally(measure: str, pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> PairCounts:
    known = [(better[measure], worse[measure]) for better, worse in pairs]
    known = [pair for pair in known if None not in pair]
    return PairCounts(
        sum(better > worse for better, worse in known),
        sum(better < worse for better, worse in known),
        sum(better == worse for better, worse in known),
    )
