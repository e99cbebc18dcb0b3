"""Concepts found in a dictionary by name or terms, and the items that have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recsae.concepts.best_candidate import terms_of
from recsae.data.terms import Vocabulary
from recsae.errors import BadInput
from recsae.policies.concept_lookup import Dictionary
from recsae.statements.language import Behaviour, Formula, FreeText, ItemSet, Op, Statement, Step, Term
from tests.concepts.worlds import term

AROUND = ItemSet(space="recommender", seeds=("1", "2"), min_cosine=0.5)


def row(
    latent: int,
    name: str | None,
    statement: Statement | None,
    confidence: float | None = None,
    gloss: str | None = None,
) -> dict[str, Any]:
    """Interpretable with a confidence; `terms` as the dictionary writes them."""
    return {
        "latent": latent,
        "name": name,
        "terms": terms_of(statement),
        "statement": statement and statement.to_json(),
        "gloss": gloss,
        "interpretable": confidence is not None,
        "confidence": confidence or 0.5,
    }


def formula(*words: tuple[Op, bool, str]) -> Statement:
    """Literals joined by their op, negated or not; the first op is of no account."""
    (_, negated, first), *rest = words
    steps = tuple(Step(op=op, negated=no, literal=Term(term=word)) for op, no, word in rest)
    return Statement(view="last", body=Formula(negated=negated, literal=Term(term=first), steps=steps))


BOTH = formula(("and", False, "Comedy"), ("and", False, "Romance"))
DICTIONARY = Dictionary(
    [
        row(0, "Sci-Fi (recommended)", term("Sci-Fi")),
        row(3, "Sci-Fi (just before)", term("Sci-Fi", "last"), 0.7),
        row(4, "Sci-Fi (in the history)", term("Sci-Fi", "history"), 0.9),
        row(5, "Comedy, Romance", BOTH, 0.8),
        row(6, "short history", Statement(view="history", body=Behaviour(feature="history length", high=5)), 0.8),
        row(7, None, None),
        row(8, "Sci-Fi or War", formula(("or", False, "Sci-Fi"), ("or", False, "War")), 0.95),
        row(9, "Horror, not Sci-Fi", formula(("and", False, "Horror"), ("and", True, "Sci-Fi")), 0.99),
        row(10, "Sci-Fi: Alien, Contact", Statement(view="last", body=AROUND), 0.6, "Sci-Fi, 1990s"),
        row(11, "around Alien and Contact", Statement(view="recommended", body=AROUND), 0.65),
        row(12, "late at night", Statement(view="last", body=FreeText(text="late at night")), 0.9),
    ]
)


def test_a_term_finds_every_latent_that_says_it_those_with_this_concept_alone_and_others_by_confidence() -> None:
    found = DICTIONARY.find("--more", " sci-fi")
    assert (found.name, found.terms, found.statement) == ("Sci-Fi", ["Sci-Fi"], None)
    assert found.latents == [8, 4, 3, 10, 0]
    assert DICTIONARY.find("--more", "War").latents == [8]
    assert DICTIONARY.find("--more", "horror").latents == [9]


@pytest.mark.parametrize("wanted", ["Comedy, Romance", "Comedy and Romance", "romance, comedy", "Comedy+Romance"])
def test_a_pair_is_found_by_its_name_and_by_its_terms(wanted: str) -> None:
    found = DICTIONARY.find("--more", wanted)
    assert (found.name, found.latents, sorted(found.terms)) == ("Comedy and Romance", [5], ["Comedy", "Romance"])


def test_a_name_without_terms_finds_its_statement_and_the_latents_with_the_same_items() -> None:
    found = DICTIONARY.find("--more", "sci-fi: alien, contact")
    assert (found.name, found.terms, found.latents) == ("Sci-Fi: Alien, Contact", [], [11, 10])
    assert found.statement is not None and found.statement.body == AROUND
    assert DICTIONARY.find("--less", "Horror, not Sci-Fi").latents == [9]


def test_what_has_no_latent_or_no_items_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--less SciFi: no latent of the dictionary .* nearest are Sci-Fi"):
        DICTIONARY.find("--less", "SciFi")
    for name in ("short history", "late at night"):
        with pytest.raises(BadInput, match=f"--more {name}: no item can be checked"):
            DICTIONARY.find("--more", name)
    with pytest.raises(BadInput, match="the nearest are none"):
        Dictionary([]).find("--more", "x")


def test_names_are_of_latents_that_have_one() -> None:
    assert DICTIONARY.names[5] == "Comedy, Romance" and 7 not in DICTIONARY.names
    assert DICTIONARY.latents.tolist() == [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]


def test_an_item_has_a_concept_if_it_has_all_its_terms() -> None:
    has = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0]])
    vocabulary = Vocabulary(["Comedy", "Romance", "War"], sparse.csr_matrix(has))
    assert vocabulary.items_with(["comedy", "Romance"]).tolist() == [True, False, True, False]
    assert vocabulary.items_with(["War"]).tolist() == [False, True, True, False]
