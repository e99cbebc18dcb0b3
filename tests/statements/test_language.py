"""Statements as JSON, and what is no statement."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsae.errors import BadInput
from recsae.statements.language import (
    MAX_LISTED,
    MAX_LITERALS,
    MAX_SEEDS,
    Behaviour,
    Formula,
    FreeText,
    ItemList,
    ItemSet,
    Range,
    Statement,
    Step,
    Term,
    from_json,
)

NAMES = st.text(min_size=1, max_size=8)
# Libraries of other tests of the same process may flush subnormal floats to zero.
FINITE = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
ENDS = st.tuples(FINITE | st.none(), FINITE | st.none()).filter(lambda ends: ends != (None, None))
RANGES = st.builds(lambda feature, ends: Range(feature=feature, low=ends[0], high=ends[1]), NAMES, ENDS)
LITERALS = st.builds(Term, term=NAMES) | RANGES
STEPS = st.builds(Step, op=st.sampled_from(["and", "or"]), negated=st.booleans(), literal=LITERALS)
FORMULAS = st.builds(
    Formula, negated=st.booleans(), literal=LITERALS, steps=st.lists(STEPS, max_size=MAX_LITERALS - 1).map(tuple)
)
SETS = st.builds(
    ItemSet, space=NAMES, seeds=st.lists(NAMES, min_size=1, max_size=MAX_SEEDS).map(tuple), min_cosine=FINITE
)
LISTS = st.builds(ItemList, items=st.lists(NAMES, min_size=1, max_size=MAX_LISTED).map(tuple))
CASE_BODIES = st.builds(Behaviour, feature=NAMES, low=FINITE | st.none(), high=FINITE | st.none()) | st.builds(
    FreeText, text=NAMES
)
SHARES = st.integers(1, 10).map(lambda tenths: tenths / 10)
STATEMENTS = (
    st.builds(Statement, view=st.sampled_from(["recommended", "last", "item"]), body=FORMULAS | SETS | LISTS)
    | st.builds(Statement, view=st.just("history"), body=FORMULAS | SETS | LISTS, min_share=SHARES)
    | st.builds(Statement, view=st.just("history"), body=CASE_BODIES)
)


@settings(max_examples=50, deadline=None)
@given(STATEMENTS)
def test_what_is_written_is_read_back(statement: Statement) -> None:
    text = statement.to_json()
    assert from_json(text) == statement and from_json(text).to_json() == text
    assert "\n" not in text and json.loads(text)["version"] == 1


def test_the_json_is_what_readers_of_the_tables_know() -> None:
    body = Formula(
        literal=Term(term="Comedy"), steps=(Step(op="and", negated=True, literal=Range(feature="year", low=1990)),)
    )
    assert json.loads(Statement(view="last", body=body).to_json()) == {
        "version": 1,
        "view": "last",
        "min_share": None,
        "body": {
            "kind": "formula",
            "negated": False,
            "literal": {"type": "term", "term": "Comedy"},
            "steps": [
                {
                    "op": "and",
                    "negated": True,
                    "literal": {"type": "range", "feature": "year", "low": 1990.0, "high": None},
                }
            ],
        },
    }
    assert body.terms == ["Comedy"]


TERM = {"kind": "formula", "literal": {"type": "term", "term": "a"}}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"version": 2, "view": "last", "body": TERM},
        {"view": "yesterday", "body": TERM},
        {"view": "last", "body": TERM, "min_share": 0.5},
        {"view": "history", "body": TERM},
        {"view": "history", "body": TERM, "min_share": 0},
        {"view": "history", "body": TERM, "min_share": 1.5},
        {"view": "history", "body": {"kind": "behaviour", "feature": "pace"}, "min_share": 0.5},
        {"view": "last", "body": {**TERM, "colour": "red"}},
        {"view": "last", "body": {"kind": "poem"}},
        {"view": "last", "body": {"kind": "formula", "literal": {"type": "range", "feature": "year"}}},
        {"view": "last", "body": {**TERM, "steps": [{"op": "and", "literal": TERM["literal"]}] * MAX_LITERALS}},
        {"view": "last", "body": {"kind": "item set", "space": "s", "seeds": [], "min_cosine": 0.5}},
        {"view": "last", "body": {"kind": "item list", "items": ["i"] * (MAX_LISTED + 1)}},
    ],
)
def test_what_is_no_statement_is_refused_with_its_place(spoilt: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"this is no statement of version 1, .* at "):
        from_json(json.dumps(spoilt))


def test_no_json_and_no_number_are_refused() -> None:
    with pytest.raises(BadInput, match="at the whole: not"):
        from_json("not json")
    with pytest.raises(ValidationError):
        Range(feature="year", low=float("nan"))
