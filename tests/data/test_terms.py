"""The vocabulary of a catalogue, and the terms that a text names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary


def catalogue_of(*items: tuple[str, dict[str, list[str]]]) -> Catalogue:
    return Catalogue(
        [f"i{number}" for number in range(len(items))],
        [title for title, _ in items],
        [attributes for _, attributes in items],
        np.ones(len(items), dtype=np.int64),
    )


def named(text: str, *vocabulary: str) -> list[str]:
    return Vocabulary(list(vocabulary), sparse.csr_matrix((1, len(vocabulary)))).terms_in(text)


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
    # Spelt as first seen; a value of one letter, a stop word and a number are none; a value beats a title word.
    assert items_by_term(found) == {"Drama": [0, 3, 4], "Horror": [0, 1, 2], "Night": [0, 1, 2]}
    assert set(found.item_terms.data.tolist()) == {1.0}
    assert found.columns(["NIGHT", "Drama"]) == [found.terms.index("Night"), found.terms.index("Drama")]


def test_the_first_spelling_of_one_item_is_the_one_shown() -> None:
    """The order must not come from a set, which differs from process to process."""
    for spellings in (["ROCK", "rock", "Rock"], ["rock", "ROCK", "Rock"], ["Rock", "rock", "ROCK"]):
        items = [("", {"genres": spellings})] * 3
        assert terms.build(catalogue_of(*items)).terms == spellings[:1]


def items_by_term(found: Vocabulary) -> dict[str, list[int]]:
    return {
        term: np.flatnonzero(found.item_terms[:, [place]].toarray().ravel()).tolist()
        for place, term in enumerate(found.terms)
    }


def test_values_of_several_words_give_their_words() -> None:
    catalogue = catalogue_of(
        ("", {"tags": ["time travel", "Based on a book"]}),
        ("", {"tags": ["Time-loop", "non-fiction"]}),
        ("A Brief History of Time", {"tags": ["non-fiction", "Children's hour"]}),
        ("", {"tags": ["space travel", "non-fiction", "Fiction"]}),
        ("", {"tags": ["travel_diary", "children's toys"], "genres": ["Fiction"]}),
        ("", {"genres": ["Fiction", "Children's"]}),
    )
    # A word of one value is no other value: the non-fiction of 1 and 2 is no Fiction. A single word gives no words.
    assert items_by_term(terms.build(catalogue)) == {
        "Fiction": [3, 4, 5],
        "non-fiction": [1, 2, 3],
        "Time": [0, 1, 2],
        "Travel": [0, 3, 4],
    }


def test_an_item_bears_every_node_of_its_path() -> None:
    """Paths come as their nodes; a parent is items_by_term by the items of all its children."""
    paths = [["Office", "Paper", "Labels"], ["Office", "Paper"], ["Office", "Pens"], ["Office", "Paper", "Labels"]]
    items = [("", {"categories": path}) for path in [*paths, ["Office", "Paper", "Labels"]]]
    assert items_by_term(terms.build(catalogue_of(*items))) == {
        "Labels": [0, 3, 4],
        "Office": [0, 1, 2, 3, 4],
        "Paper": [0, 1, 3, 4],
    }


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["War", "war", "Old", "WAR", "x", "Sea", "Über"]), max_size=3),
            st.lists(st.sampled_from(["about", "seas", "Oldest", "oldest", "Sea", "über", "Überall"]), max_size=3),
        ),
        max_size=12,
    )
)
def test_bearing_is_that_of_a_plain_count(rows: list[tuple[list[str], list[str]]]) -> None:
    """Against sets and loops; values here are of one word."""
    found = terms.build(catalogue_of(*((" ".join(title), {"tags": values}) for values, title in rows)))
    words = [
        {value.casefold() for value in values if len(value) > 1}
        | {word.casefold() for word in title if len(word) >= 4 and word != "about"}
        for values, title in rows
    ]
    counts = Counter(term for one in words for term in one)
    assert [term.casefold() for term in found.terms] == sorted(term for term in counts if counts[term] >= 3)
    for place, term in enumerate(found.terms):
        has_term = found.item_terms[:, [place]].toarray().ravel()
        assert has_term.tolist() == [float(term.casefold() in one) for one in words]


@given(st.lists(st.text(max_size=4)))
def test_distinct_strings_are_numbered_as_pandas_does(strings: list[str]) -> None:
    numbers, distinct = terms._factorise(strings)
    expected_numbers, expected = pd.factorize(np.array(strings, dtype=object))
    assert numbers.tolist() == expected_numbers.tolist()
    assert distinct == list(expected)


def test_a_catalogue_may_have_no_terms() -> None:
    found = terms.build(catalogue_of(("a", {}), ("b", {})))
    assert found.terms == [] and found.item_terms.shape == (2, 0)
    assert found.terms_in("anything") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Horror films", ["Horror"]),
        ("horrors!", ["Horror"]),
        ("Horrorfilms and warm warlords", []),
        ("World War documentary", ["Documentary", "World War"]),
        ("War of the world", ["War"]),
        ("World wars and war", ["World War", "War"]),
        ("War and wars", ["War"]),
        ("Musical musicals", ["Musicals"]),
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


def test_a_term_in_its_own_form_goes_before_the_plural_of_another() -> None:
    assert named("War films", "Wars", "War") == ["War"] and named("Wars", "Wars", "War") == ["Wars"]


def test_the_longest_of_overlapping_terms_is_named() -> None:
    assert named("the second world war film", "World", "War Film", "Second World War", "Film") == [
        "Second World War",
        "Film",
    ]


def test_a_text_is_spelt_as_the_term_that_it_is() -> None:
    vocabulary = Vocabulary(["Sci-Fi", "IMAX"], sparse.csr_matrix((1, 2)))
    assert [vocabulary.canonical(text) for text in ("sci-fi", "imax", "Imax films", "")] == [
        "Sci-Fi",
        "IMAX",
        "Imax films",
        "",
    ]
    with pytest.raises(KeyError):
        vocabulary.columns(["imaxes"])
