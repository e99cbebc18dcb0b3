"""Statements applied to hand-made items and cases, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsae.statements import evaluation
from recsae.statements.evaluation import Cases
from recsae.statements.language import (
    Behaviour,
    Body,
    FreeText,
    ItemList,
    ItemSet,
    Range,
    Statement,
    View,
)
from tests.statements.made import features, formula, histories, random_cases

NAN = float("nan")
VECTORS = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 0]], dtype=np.float32)
FEATURES = features({"comedy": [0, 1], "drama": [1, 2]}, 4, {"year": [1990, 1995, NAN, 2000]}, {"plane": VECTORS})
NOWHERE = Range(feature="year", low=1995)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (formula("comedy"), [0, 1]),
        (formula("comedy", negated=True), [2, 3]),
        (formula("comedy", ("and", False, "drama")), [1]),
        (formula("comedy", ("and", True, "drama")), [0]),
        (formula("comedy", ("or", False, "drama")), [0, 1, 2]),
        (formula("comedy", ("or", True, "drama")), [0, 1, 3]),
        (formula("comedy", ("or", False, "drama"), ("and", False, NOWHERE)), [1]),
        (formula("comedy", ("and", False, "drama"), ("or", False, NOWHERE)), [1, 3]),
        (formula(Range(feature="year", low=1990, high=1995)), [0, 1]),
        (formula(Range(feature="year", high=1995)), [0, 1]),
        (formula(Range(feature="year", low=1995), negated=True), [0, 2]),
        (ItemList(items=("i3", "gone", "i0")), [0, 3]),
        (ItemList(items=("gone",)), []),
        (ItemSet(space="plane", seeds=("i0",), min_cosine=0.7), [0, 1]),
        (ItemSet(space="plane", seeds=("i0", "i2", "gone"), min_cosine=0.9), [1]),
        (ItemSet(space="plane", seeds=("gone",), min_cosine=0.1), []),
    ],
)
def test_items_that_satisfy_a_body(body: Body, expected: list[int]) -> None:
    assert np.flatnonzero(evaluation.satisfied_by(body, FEATURES)).tolist() == expected  # type: ignore[arg-type]
    member_IS = evaluation.membership([Statement(view="last", body=body)], FEATURES)
    assert np.flatnonzero(member_IS[:, 0]).tolist() == expected


@pytest.mark.parametrize("body", [formula("horror"), formula(Range(feature="price", low=1))])
def test_a_word_that_the_features_do_not_have(body: Body) -> None:
    with pytest.raises(KeyError):
        evaluation.satisfied_by(body, FEATURES)  # type: ignore[arg-type]


CASES = Cases(
    np.array([0, 2, -1], np.int32),
    np.array([1, 3, -1], np.int32),
    histories([[1, 0, 3, 3], [3], []]),
    {"pace": np.array([2.0, NAN, 5.0])},
)


@pytest.mark.parametrize(
    ("view", "share", "body", "expected"),
    [
        ("recommended", None, formula("comedy"), [True, False, False]),
        ("recommended", None, formula("comedy", negated=True), [False, True, False]),
        ("last", None, formula("drama"), [True, False, False]),
        ("last", None, formula("drama", negated=True), [False, True, False]),
        ("history", 0.5, formula("comedy"), [True, False, False]),
        ("history", 0.51, formula("comedy"), [False, False, False]),
        ("history", 0.1, formula("drama", negated=True), [True, True, False]),
        ("history", None, Behaviour(feature="pace", low=2, high=4), [True, False, False]),
        ("history", None, Behaviour(feature="pace", high=5), [True, False, True]),
        ("history", None, Behaviour(feature="pace"), [True, False, True]),
    ],
)
def test_cases_of_which_a_statement_holds(view: View, share: float | None, body: Body, expected: list[bool]) -> None:
    statement = Statement(view=view, body=body, min_share=share)
    assert evaluation.holds([statement], FEATURES, CASES)[:, 0].tolist() == expected


def test_free_text_is_for_a_language_model() -> None:
    with pytest.raises(ValueError, match="cannot be evaluated: about cats"):
        evaluation.holds([Statement(view="last", body=FreeText(text="about cats"))], FEATURES, CASES)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_many_statements_at_once_are_each_on_its_own(seed: int) -> None:
    draw = np.random.default_rng(seed)
    cases = random_cases(draw, 12, 4)
    bodies: list[Body] = [formula("comedy"), formula("drama", negated=True), ItemList(items=("i2",)), formula("comedy")]
    statements = [Statement(view=view, body=body) for view in ("recommended", "last") for body in bodies]
    statements += [Statement(view="history", body=body, min_share=share) for share in (0.1, 0.5) for body in bodies]
    statements.append(Statement(view="history", body=Behaviour(feature="pace", low=3)))
    found_BS = evaluation.holds(statements, FEATURES, cases)
    for number, statement in enumerate(statements):
        assert found_BS[:, number].tolist() == [_plainly(statement, cases, case) for case in range(12)]


def _plainly(statement: Statement, cases: Cases, case: int) -> bool:
    if isinstance(statement.body, Behaviour):
        return bool(cases.behaviour["pace"][case] >= 3)
    satisfied = evaluation.satisfied_by(statement.body, FEATURES)  # type: ignore[arg-type]
    if statement.min_share is None:
        item = cases.of_view(statement.view)[case]
        return bool(item >= 0 and satisfied[item])
    events = [item for item in cases.history_BL[case].tolist() if item >= 0]
    hits = sum(bool(satisfied[item]) for item in events)
    return bool(events) and hits >= statement.min_share * len(events) - 1e-6


def test_the_last_events_end_before_the_stop() -> None:
    items = np.arange(5)
    assert evaluation.last_events(items, 3, 4).tolist() == [2, 1, 0, -1]
    assert evaluation.last_events(items, 5, 2).tolist() == [4, 3]
