"""The statements that compete for a latent."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.statements import candidates, counting, formulas
from recsae.statements.candidates import MIN_CASES, LatentCounts, SearchPlan
from recsae.statements.counting import BINS
from recsae.statements.item_sets import ItemCounts
from recsae.statements.language import Behaviour, Formula, ItemSet
from tests.statements.made import features, formula

LENGTHS = np.repeat(np.arange(1, 21), 10).astype(float)
FEATURES = features({"even": [0, 2, 4], "high": [3, 4, 5]}, 6, {}, {"line": np.eye(6, dtype=np.float32)})
PLAN = SearchPlan(
    FEATURES,
    formulas.searchable(FEATURES.vocabulary, FEATURES.numbers),
    {"history length": counting.bins_of(LENGTHS)},
)


def _counts(fires_B: np.ndarray, scale: float = 10) -> LatentCounts:
    """Behaviour as fires; the item `even` decides in every view."""
    bin_B = counting.bin_of(LENGTHS, PLAN.bins["history length"])
    fires_Q = np.bincount(bin_B[fires_B], minlength=BINS)
    of_item = ItemCounts(scale * np.array([9.0, 1, 9, 1, 9, 1]), scale * np.full(6, 10.0))
    views = {"recommended": of_item, "last": of_item, "history": of_item}
    return LatentCounts(0, views, fires_Q[None], np.bincount(bin_B, minlength=BINS)[None])


@pytest.mark.parametrize(
    ("fires_B", "low", "high"),
    [(LENGTHS <= 5, None, 5), (LENGTHS >= 16, 16, None), ((LENGTHS >= 6) & (LENGTHS <= 10), 6, 10)],
)
def test_a_behaviour_ends_at_values_that_occur(fires_B: np.ndarray, low: float | None, high: float | None) -> None:
    found = [one.body for one in candidates.candidates(_counts(fires_B), PLAN) if one.kind == "behaviour"]
    assert found == [Behaviour(feature="history length", low=low, high=high)]


def test_every_kind_competes_in_every_view() -> None:
    found = candidates.candidates(_counts(LENGTHS <= 5), PLAN)
    assert {(one.view, one.kind) for one in found} == {
        *((view, kind) for view in ("recommended", "last") for kind in ("formula", "item set", "item list")),
        *(("history", kind) for kind in ("formula", "item set", "behaviour")),
    }
    assert {one.body for one in found if isinstance(one.body, Formula)} == {formula("even")}
    shares = [one.min_share for one in found if one.view == "history" and isinstance(one.body, ItemSet)]
    assert tuple(shares) == candidates.HISTORY_SHARES
    assert len({one.to_json() for one in found}) == len(found)


def test_a_latent_that_hardly_fires_is_not_searched_for() -> None:
    rare_B = np.arange(len(LENGTHS)) < MIN_CASES - 1
    assert candidates.candidates(_counts(rare_B, scale=0.1), PLAN) == []


def test_a_behaviour_that_says_nothing_is_none() -> None:
    everywhere_B = np.arange(len(LENGTHS)) % 2 == 0
    found = candidates.candidates(_counts(everywhere_B), PLAN)
    assert not any(isinstance(one.body, Behaviour) for one in found)
