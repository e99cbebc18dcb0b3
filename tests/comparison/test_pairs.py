"""Pairs of models: same data only, the better one by NDCG@10, and clear pairs by its intervals."""

from __future__ import annotations

from typing import Any

from recsae.comparison.pairs import MEASURES, PairCounts, compare_pairs


def model(ndcg: float | None, share: float | None, data: str = "a", width: float = 0.001) -> dict[str, Any]:
    ends = (None, None) if ndcg is None else (ndcg - width, ndcg + width)
    return {
        **dict.fromkeys(MEASURES),
        "data_hash": data,
        "ndcg_10": ndcg,
        "ndcg_10_lower": ends[0],
        "ndcg_10_upper": ends[1],
        "share_75": share,
    }


def tallies(*models: dict[str, Any], measure: str = "share_75") -> tuple[PairCounts, PairCounts]:
    found = {one.measure: one for one in compare_pairs(models)}[measure]
    return found.every, found.clear


def test_the_better_model_has_more_less_or_the_same() -> None:
    every, clear = tallies(model(0.1, 0.5), model(0.2, 0.7), model(0.3, 0.5))
    assert every == clear == PairCounts(more=1, less=1, same=1)


def test_models_of_different_data_form_no_pair() -> None:
    assert tallies(model(0.1, 0.5), model(0.2, 0.7, data="b")) == (PairCounts(), PairCounts())


def test_overlapping_intervals_form_a_pair_but_not_a_clear_one() -> None:
    assert tallies(model(0.1, 0.5, width=0.06), model(0.2, 0.7, width=0.06)) == (PairCounts(more=1), PairCounts())


def test_pairs_with_a_missing_measure_are_not_counted() -> None:
    assert tallies(model(0.1, None), model(0.2, 0.7)) == (PairCounts(), PairCounts())
    assert tallies(model(None, 0.5), model(0.2, 0.7)) == (PairCounts(), PairCounts())
    assert tallies(model(0.2, 0.5), model(0.2, 0.7)) == (PairCounts(), PairCounts()), "neither is better"
