"""Which statement is chosen, and which hold."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.statements import choice
from recsae.statements.choice import Measured
from recsae.statements.language import Behaviour, Body, ItemList, ItemSet, Statement, View
from tests.statements.made import formula

NAN = float("nan")
ONE, TWO = formula("a"), formula("a", ("and", False, "b"))
SET = ItemSet(space="s", seeds=("i0",), min_cosine=0.5)
LIST = ItemList(items=("i0",))
PACE = Behaviour(feature="pace", low=2)


def _measured(body: Body, value: float, error: float = 0.01, f1: float = 0.5, view: View = "last") -> Measured:
    share = 0.3 if view == "history" and not isinstance(body, Behaviour) else None
    return Measured(Statement(view=view, body=body, min_share=share), value, error, f1)


@pytest.mark.parametrize(
    ("body", "view", "length"),
    [
        (ONE, "last", 1),
        (TWO, "last", 2),
        (TWO, "history", 3),
        (PACE, "history", 2),
        (SET, "last", 5),
        (LIST, "last", 7),
    ],
)
def test_length(body: Body, view: View, length: int) -> None:
    assert choice.length(_measured(body, 0.5, view=view).statement) == length


def test_the_shortest_within_one_standard_error_of_the_best() -> None:
    best, near, far = _measured(SET, 0.8, 0.02), _measured(TWO, 0.781), _measured(ONE, 0.779)
    assert choice.choose([far, best, near]) == near
    assert choice.choose([far, best]) == best
    better = _measured(formula("c", ("or", False, "d")), 0.79)
    assert choice.choose([near, better, best]) == better
    assert choice.choose([_measured(ONE, NAN)]) is None and choice.choose([]) is None


def test_without_an_error_only_the_best_is_close() -> None:
    short, best = _measured(ONE, 0.7), Measured(Statement(view="last", body=SET), 0.71, NAN, 0.5)
    assert choice.choose([short, best]) is best


def test_the_core_has_the_highest_f1() -> None:
    one, two, none = _measured(SET, 0.8, f1=0.4), _measured(ONE, 0.7, f1=0.4), _measured(TWO, 0.9, f1=NAN)
    assert choice.core([one, two, none]) == two
    assert choice.core([none, _measured(ONE, 0.5, f1=0)]) is None


def test_the_best_of_each_kind_and_view() -> None:
    given = [
        _measured(ONE, 0.6),
        _measured(formula("b"), 0.7),
        _measured(TWO, 0.8),
        _measured(TWO, 0.75, view="recommended"),
        _measured(LIST, NAN),
        _measured(PACE, 0.55, view="history"),
    ]
    found = choice.best_by_kind(given)
    assert [(choice.contestant(one.statement), one.statement.view, one.value) for one in found] == [
        ("behaviour", "history", 0.55),
        ("formula", "last", 0.8),
        ("formula", "recommended", 0.75),
        ("term", "last", 0.7),
    ]


def test_the_gloss_is_a_short_formula_of_the_same_view() -> None:
    long = formula("a", ("and", False, "b"), ("or", False, "c"))
    given = [_measured(ONE, 0.6), _measured(TWO, 0.65), _measured(long, 0.7), _measured(ONE, 0.9, view="recommended")]
    assert choice.gloss(_measured(SET, 0.8), given) == given[1]
    assert choice.gloss(given[0], given) is None
    assert choice.gloss(_measured(LIST, 0.8, view="recommended"), given[:3]) is None


def test_the_bar_is_the_95th_percentile_of_what_could_be_measured() -> None:
    spread, low = np.array([*np.arange(101) / 100, NAN]), np.full(1000, 0.5)
    assert choice.control_bar([low, spread]) == pytest.approx(0.95)
    assert choice.control_bar([np.array([NAN]), np.empty(0)]) is None


def test_false_discoveries_by_the_steps_of_benjamini_and_hochberg() -> None:
    draw = np.random.default_rng(0)
    value_P, error_P = draw.uniform(0.5, 0.6, 200), draw.uniform(0.01, 0.05, 200)
    found = choice.decide(value_P, error_P, 0.52)
    order = np.argsort(found.p_value_P)
    below = np.flatnonzero(found.p_value_P[order] <= 0.05 * np.arange(1, 201) / 200)
    kept = set(order[: below.max() + 1].tolist()) if len(below) else set()
    whole = {number for number in range(200) if value_P[number] - 1.96 * error_P[number] > 0.52}
    assert set(np.flatnonzero(found.accepted_P).tolist()) == kept & whole
    assert 0 < len(kept & whole) < len(whole)


def test_a_perfect_statement_is_accepted_and_an_unmeasured_one_is_not() -> None:
    found = choice.decide(np.array([1.0, 0.6, 0.6, NAN, 0.9]), np.array([0.0, 0.0, 0.05, 0.01, NAN]), 0.6)
    assert found.accepted_P.tolist() == [True, False, False, False, False]
    assert not choice.decide(np.array([1.0]), np.array([0.0]), None).accepted_P.any()
