"""The formula that is planted in the items is found; runs and ranges against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsae.statements import formulas
from recsae.statements.evaluation import satisfied_by, within
from recsae.statements.features import ItemFeatures
from recsae.statements.formulas import Searchable
from recsae.statements.language import Formula, Range
from tests.statements.made import features, formula

N_ITEMS = 400
YEARS = Range(feature="year", low=1970, high=1984)


def _items(seed: int = 0) -> ItemFeatures:
    """Each item has each of eight terms with probability .3; one in ten has no year."""
    draw = np.random.default_rng(seed)
    has = {f"t{term}": np.flatnonzero(draw.random(N_ITEMS) < 0.3).tolist() for term in range(8)}
    year_I = np.where(draw.random(N_ITEMS) < 0.1, np.nan, draw.integers(1950, 2000, N_ITEMS))
    return features(has, N_ITEMS, {"year": year_I.tolist()})


ITEMS = _items()


def _searchable(of: ItemFeatures) -> Searchable:
    return formulas.searchable(of.vocabulary, of.numbers)


def _weights(holds_I: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Every item has as many cases; a share `noise` of the others fires too."""
    fires_I = np.where(holds_I, 1 - noise, noise)
    return np.asarray(fires_I / fires_I.sum() - (1 - fires_I) / max((1 - fires_I).sum(), 1e-12))


@pytest.mark.parametrize(
    "planted",
    [
        formula("t0"),
        formula("t0", negated=True),
        formula(YEARS),
        formula("t0", ("and", False, "t1")),
        formula("t0", ("or", False, "t1")),
        formula("t0", ("and", True, "t1")),
        formula("t0", ("and", False, YEARS)),
        formula("t0", ("or", False, "t1"), ("and", True, "t2")),
        formula("t0", ("and", False, "t1"), ("or", False, "t2")),
        formula("t0", ("or", False, "t1"), ("and", True, "t2"), ("and", False, YEARS)),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_planted_formula_is_found(planted: Formula, noise: float) -> None:
    wanted_I = satisfied_by(planted, ITEMS)
    found = formulas.search(_weights(wanted_I, noise), _searchable(ITEMS))
    assert satisfied_by(found[-1], ITEMS).tolist() == wanted_I.tolist()
    assert len(found[-1].steps) == len(planted.steps)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_one_literal_is_the_best_there_is(seed: int) -> None:
    draw = np.random.default_rng(seed)
    of = features({f"t{term}": np.flatnonzero(draw.random(30) < 0.4).tolist() for term in range(5)}, 30)
    w_I = draw.standard_normal(30)
    (first, *_) = formulas.search(w_I, _searchable(of))
    worths = [
        w_I[satisfied_by(formula(term, negated=no), of)].sum() for term in of.vocabulary.terms for no in (False, True)
    ]
    assert w_I[satisfied_by(first, of)].sum() == pytest.approx(max(worths))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_each_further_literal_adds_its_price(seed: int) -> None:
    draw = np.random.default_rng(seed)
    of = _items(seed)
    w_I = _weights(draw.random(N_ITEMS) < 0.2)
    found = formulas.search(w_I, _searchable(of))
    for shorter, longer in itertools.pairwise(found):
        gained = w_I[satisfied_by(longer, of)].sum() - w_I[satisfied_by(shorter, of)].sum()
        assert gained >= formulas.PRICE * (len(longer.steps) - len(shorter.steps)) - 1e-9


def test_nothing_to_say_is_no_formula() -> None:
    of = features({}, 5, {"year": [1.0] * 5})
    assert formulas.search(np.array([1.0, -1, 1, -1, 0]), _searchable(of)) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=12))
def test_the_best_run_is_that_of_all_runs(values: list[int]) -> None:
    w_Q = np.array(values, dtype=np.float64)
    start, stop = formulas.best_run(w_Q)
    runs = [sum(values[first:last]) for first in range(len(values)) for last in range(first + 1, len(values) + 1)]
    assert sum(values[start:stop]) == max([*runs, 0])
    assert start < stop or max([*runs, 0]) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_the_best_range_is_that_of_all_ranges(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values_I = np.where(draw.random(20) < 0.2, np.nan, draw.integers(0, 8, 20).astype(float))
    w_I = np.where(draw.random(20) < 0.1, 0.0, draw.standard_normal(20))
    steps = formulas.searchable(features({}, 20).vocabulary, {"year": values_I}).steps["year"]
    assert steps.exact
    found = formulas.best_range("year", values_I, w_I, steps)
    ends = [None, *np.unique(values_I[~np.isnan(values_I)]).tolist()]
    ranges = [Range(feature="year", low=low, high=high) for low in ends for high in ends if (low, high) != (None, None)]
    best = max((w_I[within(values_I, one)].sum() for one in ranges), default=0.0)
    if found:
        assert w_I[within(values_I, found)].sum() == pytest.approx(best)
    else:
        every = w_I[~np.isnan(values_I)].sum()
        assert best <= 0 or every == pytest.approx(best)


def test_a_number_with_many_values_has_round_ends() -> None:
    draw = np.random.default_rng(0)
    price_I = draw.lognormal(3, 1, 2000)
    of = features({}, 2000, {"price": price_I.tolist()})
    wanted_I = (price_I >= 10) & (price_I <= 40)
    (found,) = formulas.search(_weights(wanted_I), _searchable(of))
    assert isinstance(found.literal, Range)
    ends = [found.literal.low, found.literal.high]
    assert all(end is not None and float(f"{end:.2g}") == end for end in ends)
    assert np.mean(satisfied_by(found, of) == wanted_I) > 0.93
