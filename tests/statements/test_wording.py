"""Statements read out in words."""

from __future__ import annotations

import pytest

from recsae.statements import wording
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
from tests.statements.made import formula

TITLES = {f"i{number}": f"Film {number}" for number in range(6)}


def _year(low: float | None, high: float | None) -> Range:
    return Range(feature="year", low=low, high=high)


def _popular(low: float | None, high: float | None) -> Range:
    return Range(feature="popularity", low=low, high=high)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (formula("Comedy"), "Comedy"),
        (formula("Comedy", negated=True), "not Comedy"),
        (formula("A", ("or", False, "B"), ("and", True, "C")), "(A or B), not C"),
        (formula("A", ("and", False, "B"), ("or", False, "C")), "(A, B) or C"),
        (formula("A", ("and", False, "B"), ("and", True, "C")), "A, B, not C"),
        (formula("A", ("or", False, "B"), ("or", False, "C")), "A or B or C"),
        (formula(_year(1984, 1991)), "year 1984 to 1991"),
        (formula(_year(1984, None)), "year from 1984"),
        (formula(_year(None, 0.125)), "year up to 0.125"),
        (formula(_year(1984, 1984)), "year 1984"),
        (formula(_popular(0.8, None)), "among the most popular 20 %"),
        (formula(_popular(None, 0.4)), "not among the most popular 60 %"),
        (formula(_popular(0.5, 0.9)), "among the most popular 50 % but not the first 10 %"),
        (ItemSet(space="s", seeds=("i0",), min_cosine=0.5), "items around Film 0"),
        (ItemSet(space="s", seeds=("i0", "gone", "i2", "i3"), min_cosine=0), "items around Film 0, gone and Film 2"),
        (ItemList(items=("i0", "i1")), "Film 0 and Film 1"),
        (ItemList(items=("i0", "i1", "i2", "i3", "i4")), "Film 0, Film 1 and Film 2 or 2 more"),
        (FreeText(text="about cats"), "about cats"),
    ],
)
def test_bodies(body: Body, words: str) -> None:
    assert wording.body_in_words(body, TITLES) == words


@pytest.mark.parametrize(
    ("view", "share", "words"),
    [
        ("recommended", None, "recommends Comedy"),
        ("last", None, "after Comedy"),
        ("item", None, "Comedy"),
        ("history", 0.3, "at least 3 of the last 10: Comedy"),
    ],
)
def test_views(view: View, share: float | None, words: str) -> None:
    assert wording.in_words(Statement(view=view, body=formula("Comedy"), min_share=share), TITLES) == words


@pytest.mark.parametrize(
    ("feature", "low", "high", "words"),
    [
        ("history length", None, 5, "short history (up to 5 events)"),
        ("weekday of the last event", None, 0, "last event on Monday"),
        ("weekday of the last event", 5, None, "last event on Saturday to Sunday"),
        ("weekday of the last event", 2, 2, "last event on Wednesday"),
        ("hour of the last event", 20, None, "last event from 20:00 to 23:59 UTC"),
        ("hour of the last event", None, 0, "last event from 00:00 to 00:59 UTC"),
        ("same item as the event before", 1, None, "same item as the event before"),
        ("same item as the event before", None, 0, "another item than the event before"),
        ("same class as the event before", 1, None, "same class as the event before"),
        ("same class as the event before", None, 0, "no class in common with the event before"),
        ("popularity of the last ten", 0.8, None, "popular items in the last ten (mean popularity from 0.8)"),
        ("diversity of the last ten", 0.2, 0.4, "mixed last ten (mean distance 0.2 to 0.4)"),
        ("days before the last event", None, 5 / 1440, "short pause before the last event (up to 5 minutes)"),
        ("days before the last event", 3, None, "long pause before the last event (from 3 days)"),
    ],
)
def test_behaviours(feature: str, low: float | None, high: float | None, words: str) -> None:
    assert wording.in_words(Statement(view="history", body=Behaviour(feature=feature, low=low, high=high)), {}) == words


def test_behaviour_and_free_text_have_no_view() -> None:
    pace = Statement(view="history", body=Behaviour(feature="history length", high=5))
    assert wording.in_words(pace, {}) == "short history (up to 5 events)"
    assert wording.in_words(Statement(view="last", body=FreeText(text="about cats")), {}) == "about cats"
