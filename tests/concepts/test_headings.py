"""Short readings of statements, and titles cut to size."""

from __future__ import annotations

import pytest

from recsae.concepts.headings import cut, heading, heading_key, short_title
from recsae.statements.language import Behaviour, Formula, FreeText, ItemList, Op, Range, Statement, Step, Term

Part = str | tuple[str, float | None, float | None]


def literal(part: Part) -> Term | Range:
    return Term(term=part) if isinstance(part, str) else Range(feature=part[0], low=part[1], high=part[2])


def formula(first: Part, *others: tuple[Op, bool, Part], negated: bool = False) -> Statement:
    steps = tuple(Step(op=op, negated=no, literal=literal(part)) for op, no, part in others)
    return Statement(view="last", body=Formula(negated=negated, literal=literal(first), steps=steps))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (formula("Comedy"), "Comedy"),
        (formula("Comedy", ("and", False, ("year", 1990, 1999))), "1990s Comedy"),
        (formula("Comedy", ("and", True, ("year", 1990, 1999))), "Comedy, not 1990s"),
        (formula("Thriller", ("or", False, "Action"), ("and", False, "1990s")), "(Thriller or Action), 1990s"),
        (formula(("year", 1984, 1991)), "1984 to 1991"),
        (formula(("year", 2004, None), ("or", False, "Harry")), "since 2004 or Harry"),
        (formula(("year", None, 1992), negated=True), "not until 1992"),
        (formula(("price", None, 10)), "price up to 10"),
        (formula(("popularity", 0.904, None)), "popular (top 10 %)"),
        (formula(("popularity", None, 0.7)), "not popular (below the top 30 %)"),
        (formula(("popularity", 0.25, 0.995)), "popularity 25 to 100 %"),
    ],
)
def test_a_formula_is_read_out(statement: Statement, words: str) -> None:
    assert heading(statement) == words


def test_behaviour_is_read_out() -> None:
    short = Statement(view="history", body=Behaviour(feature="history length", high=5))
    assert heading(short) == "short history (up to 5 events)" and heading_key(short) == heading(short)


def test_items_have_no_heading_of_their_own() -> None:
    assert heading(Statement(view="last", body=ItemList(items=("a",)))) is None
    assert heading_key(Statement(view="last", body=ItemList(items=("a",)))) is None
    assert heading(Statement(view="last", body=FreeText(text="In the rain"))) == "In the rain"


def test_the_key_ignores_order_view_and_case() -> None:
    one = formula("A", ("and", True, "B"), ("and", False, "C"))
    assert heading_key(one) == heading_key(formula("c", ("and", False, "a"), ("and", True, "b")))
    assert heading_key(one) == heading_key(one.model_copy(update={"view": "recommended"}))
    assert heading_key(one) != heading_key(formula("A", ("and", False, "B"), ("and", False, "C")))
    assert heading_key(formula("A", ("or", False, "B"))) != heading_key(formula("A", ("and", False, "B")))
    mixed = formula("A", ("or", False, "B"), ("and", False, "C"))
    assert heading_key(mixed) != heading_key(formula("A", ("or", False, "C"), ("and", False, "B")))


@pytest.mark.parametrize(
    ("title", "short"),
    [
        ("Fugitive, The (1993)", "The Fugitive"),
        ("Seven (a.k.a. Se7en) (1995)", "Seven"),
        ("Crouching Tiger, Hidden Dragon (Wo hu cang long) (2000)", "Crouching Tiger, Hidden Dragon"),
        ("Avventura, L' (Adventure, The) (1960)", "L'Avventura"),
        ("Cable (Pack of 2)", "Cable (Pack of 2)"),
        ("(500) Days of Summer (2009)", "(500) Days of Summer"),
        ("2012 (2009)", "2012"),
        ("(1995)", "(1995)"),
        ("<b>Sea</b>  and\nrain", "<b>Sea</b> and rain"),
    ],
)
def test_titles_lose_what_only_a_catalogue_needs(title: str, short: str) -> None:
    assert short_title(title) == short


def test_cuts_between_words() -> None:
    assert cut("The Lord of the Rings", 21) == "The Lord of the Rings"
    assert cut("The Lord of the Rings", 16) == "The Lord of the…"
    assert cut("Supercalifragilistic", 8) == "Superca…"
