"""The vocabulary and what of it a text names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsae.concepts import terms
from recsae.concepts.terms import Vocabulary
from recsae.data.catalogue import Catalogue


def catalogue_of(*items: tuple[str, dict[str, list[str]]]) -> Catalogue:
    return Catalogue(
        [f"i{number}" for number in range(len(items))],
        [title for title, _ in items],
        [attributes for _, attributes in items],
        np.ones(len(items), dtype=np.int64),
    )


def named(text: str, *vocabulary: str) -> list[str]:
    return Vocabulary(list(vocabulary), sparse.csr_matrix((1, len(vocabulary)))).named_in(text)


def test_terms_are_values_and_title_words_of_enough_items() -> None:
    catalogue = catalogue_of(
        ("The Night Train", {"genres": ["Horror", "Drama"]}),
        ("Night of the Bus", {"genres": ["horror"], "tags": ["Night"]}),
        ("A night 1999 at sea", {"genres": ["HORROR", "X"]}),
        ("When they were about", {"genres": ["Drama", "X"]}),
        ("When they were about", {"tags": ["Drama", "X"], "genres": ["Drama"]}),
        ("When they were about", {}),
    )
    found = terms.build(catalogue)
    borne = {
        term: np.flatnonzero(found.bears[:, [place]].toarray().ravel()).tolist()
        for place, term in enumerate(found.terms)
    }
    # Spelt as first seen; a value of one letter, a stop word and a number are none; a value beats a title word.
    assert borne == {"Drama": [0, 3, 4], "Horror": [0, 1, 2], "Night": [0, 1, 2]}
    assert set(found.bears.data.tolist()) == {1.0}
    assert found.columns(["NIGHT", "Drama"]) == [found.terms.index("Night"), found.terms.index("Drama")]


def test_the_first_spelling_of_one_item_is_the_one_shown() -> None:
    """Not that of a set, whose order differs from process to process."""
    for spellings in (["ROCK", "rock", "Rock"], ["rock", "ROCK", "Rock"], ["Rock", "rock", "ROCK"]):
        items = [("", {"genres": spellings})] * 3
        assert terms.build(catalogue_of(*items)).terms == spellings[:1]


def test_a_catalogue_may_have_no_terms() -> None:
    found = terms.build(catalogue_of(("a", {}), ("b", {})))
    assert found.terms == [] and found.bears.shape == (2, 0)
    assert found.named_in("anything") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Horror films", ["Horror"]),
        ("horrors!", ["Horror"]),
        ("Horrorfilms and warm warlords", []),
        ("World War documentary", ["Documentary", "World War"]),
        ("War of the world", ["War"]),
        ("World wars and war", ["World War", "War"]),
        ("Documentaries", []),
        ("sci-fi", ["Sci-Fi"]),
        ("SCI FI and musical", ["Musicals", "Sci-Fi"]),
        ("", []),
        ("?!", []),
    ],
)
def test_whole_words_are_named_in_plural_or_singular_and_without_overlap(text: str, expected: list[str]) -> None:
    assert named(text, "War", "World War", "Horror", "Documentary", "Sci-Fi", "Musicals", "!!", "s") == expected


def test_neighbouring_terms_are_both_named() -> None:
    assert sorted(named("horror war horror comedy", "War", "Horror", "Comedy")) == ["Comedy", "Horror", "War"]
