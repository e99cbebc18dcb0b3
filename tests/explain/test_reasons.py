"""Reasons say on which side a concept speaks."""

from __future__ import annotations

import pytest

from recsae.explain.reasons import reason
from recsae.statements.language import Behaviour, FreeText, ItemSet, Statement
from tests.concepts.worlds import term

AROUND = ItemSet(space="recommender", seeds=("1", "2"), min_cosine=0.5)


@pytest.mark.parametrize(
    ("name", "statement", "said"),
    [
        ("Comedy", term("Comedy"), "recommends Comedy"),
        ("Comedy", term("Comedy", "last"), "after Comedy"),
        ("Comedy (just before)", term("Comedy", "last"), "after Comedy"),
        ("Comedy (recommended)", term("Comedy", "last"), "after Comedy (recommended)"),
        ("Comedy", term("Comedy", "history"), "after Comedy (at least 5 of the last 10)"),
        ("Comedy", term("Comedy", "item"), "Comedy"),
        ("around A and B", Statement(view="last", body=AROUND), "after items around A and B"),
        ("1990s: A, B", Statement(view="recommended", body=AROUND), "recommends 1990s: A, B"),
        ("late at night", Statement(view="last", body=FreeText(text="late at night")), "after late at night"),
        ("short history", Statement(view="history", body=Behaviour(feature="history length", high=5)), "short history"),
    ],
)
def test_the_side_stands_before_the_name(name: str, statement: Statement, said: str) -> None:
    assert reason(name, statement) == said
