"""Do better recommenders hold more concepts? Pairs of models of the same data, and in how many the better has more.

It knows the table MODELS and nothing of runs. Pairs share models, so they are few and not independent: they are counted
and not tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

MEASURES = {
    "share": "share of latents that are interpretable",
    "expected": "interpretable latents, if all had been asked about",
    "rarefied": "different concepts among equally many interpretable latents",
    "effective": "effective number of concepts",
    "answered": "attribute values that a latent answers to above chance",
    "answering": "different latents that answer so",
    "correlation": "correlation of the best latent, less what chance gives",
}
"""Columns of MODELS that tell how many, and how different, concepts a model holds; and what they are."""


class PairCounts(NamedTuple):
    """Pairs in which the better recommender has more of one measure, less of it, and as much."""

    more: int = 0
    less: int = 0
    same: int = 0


class MeasureComparison(NamedTuple):
    measure: str
    every: PairCounts
    """Of all pairs whose NDCG@10 differs."""
    clear: PairCounts
    """Of those whose intervals of NDCG@10 do not overlap."""


def tell(models: Sequence[Mapping[str, Any]]) -> tuple[MeasureComparison, ...]:
    """One line for each of MEASURES. A pair in which one of the two lacks the measure counts nowhere."""
    pairs = [
        (one, other) if one["ndcg_10"] > other["ndcg_10"] else (other, one)
        for one, other in combinations(models, 2)
        if one["data_hash"] == other["data_hash"]
        and None not in (one["ndcg_10"], other["ndcg_10"])
        and one["ndcg_10"] != other["ndcg_10"]
    ]
    clear = [pair for pair in pairs if _apart(*pair)]
    return tuple(MeasureComparison(measure, _tally(measure, pairs), _tally(measure, clear)) for measure in MEASURES)


def _apart(better: Mapping[str, Any], worse: Mapping[str, Any]) -> bool:
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
