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


def test_a_word_is_no_term_where_it_is_a_piece() -> None:
    """Of a value, that 4 of its 5 items have; of a phrase of titles, that 3 of its 4 items have."""
    titles = ["Harry Potter", "Harry Potter", "Harry Potter", "Beatrix Potter", "Dirty Harry", "Harry Sally"]
    titles += [f"Filler{n} Word{n}" for n in range(14)]
    brands = ["Black Decker"] * 8 + ["Decker"] * 2 + ["Fellowes"] * 10
    items = [(title, {"brand": [brand]}) for title, brand in zip(titles, brands, strict=True)]
    assert items_by_term(terms.build(catalogue_of(*items))) == {
        "Black Decker": [*range(8)],
        "Fellowes": [*range(10, 20)],
        "Harry": [0, 1, 2, 4, 5],
        "Harry Potter": [0, 1, 2],
    }


def test_phrases_short_words_and_words_with_digits() -> None:
    titles = [
        *("The Lord of the Rings", "Lord of the Rings: The Two Towers", "Lord of the rings (1978)", "Lord Jim", "Lord"),
        *("Wii Sports", "Wii Play", "A Game for Wii", "Wii", "Wii Fit", "The PS4 Game"),
        *(f"{word} PS4 of the {word} 12" for word in ("Red", "Blue", "Green", "Grey", "Pink")),
        *("DVD one", "DVD two", "DVD three", "DVD four"),
        *("2048", "2048 again", "2048!", "Threes, 2048", "Like 2048"),
    ]
    # DVD is short and too rare, 12 has two digits, and Rings is a piece.
    assert items_by_term(terms.build(catalogue_of(*((title, {}) for title in titles)))) == {
        "2048": [20, 21, 22, 23, 24],
        "Lord": [0, 1, 2, 3, 4],
        "Lord of the Rings": [0, 1, 2],
        "PS4": [10, 11, 12, 13, 14, 15],
        "Wii": [5, 6, 7, 8, 9],
    }


def test_a_phrase_that_equals_a_value_counts_as_the_value() -> None:
    titles = ["Star Wars", "Star Wars: Jedi", "Return to Star Wars"]
    items: list[tuple[str, dict[str, list[str]]]] = [(title, {}) for title in titles]
    vocabulary = terms.build(catalogue_of(*items, ("Ewoks", {"tags": ["star wars"]})))
    assert items_by_term(vocabulary) == {"star wars": [0, 1, 2, 3]}


def test_a_short_word_does_not_count_as_the_value() -> None:
    """`War` is a genre, and The War Room is a documentary."""
    items = [("The War Room", {"genres": ["Documentary"]}), *[("Platoon", {"genres": ["War", "Drama"]})] * 3]
    found = items_by_term(terms.build(catalogue_of(*items, ("A Drama", {}))))
    assert (found["War"], found["Drama"]) == ([1, 2, 3], [1, 2, 3, 4])


def test_titles_without_spaces() -> None:
    titles = [
        "魔女の宅急便",
        "小さな魔女",
        "魔女の宅急便その二",
        "無線藍牙耳機",
        "运动蓝牙耳机",
        "无线蓝牙耳机",
        "蓝牙耳机套",
    ]
    titles += ["หนังสือเด็ก", "หนังสือเรียน", "ร้านหนังสือ", "หนังสือ", "ชั้นหนังสือ"]
    vocabulary = terms.build(catalogue_of(*((title, {}) for title in titles)))
    assert items_by_term(vocabulary) == {"魔女": [0, 1, 2], "蓝牙耳机": [4, 5, 6], "หนังสือ": [7, 8, 9, 10, 11]}
    assert vocabulary.terms_in("ถึงหนังสือและ魔女たち") == ["หนังสือ", "魔女"]


def test_dates_and_many_numbers_are_no_terms() -> None:
    def found(distinct: int) -> list[str]:
        seen = ["seen 2010-05", "2009-12-31", "31/12/2009", "2009-12-31T10:00:00Z", "1990s", "1995", "1984-85"]
        items = [("", {"price": [f"{n % distinct}.99"], "tags": seen}) for n in range(3 * distinct)]
        return terms.build(catalogue_of(*items)).terms

    assert found(51) == ["1984-85", "1990s", "1995"]
    assert found(50) == sorted(["1984-85", "1990s", "1995", *(f"{n}.99" for n in range(50))])


def test_what_is_left_out_is_told() -> None:
    items = [("Night", {"price": [f"{n}.99"], "tags": ["2009-12-31", "Sea"]}) for n in range(60)]
    summary = terms.build(catalogue_of(*items)).summary
    assert summary == "1 values, 1 words and phrases; no terms: numbers of price, 1 dates"


def test_of_overlapping_phrases_of_the_same_items_one_is_a_term() -> None:
    titles = [f"Avery Index Maker Clear Label Dividers White Tabs, {n}" for n in "abc"]
    vocabulary = terms.build(catalogue_of(*((title, {}) for title in [*titles, "White", "White Label", "Label"])))
    assert items_by_term(vocabulary) == {
        "Avery Index Maker Clear Label Dividers": [0, 1, 2],
        "Label": [0, 1, 2, 4, 5],
        "White": [0, 1, 2, 3, 4],
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
            st.lists(st.sampled_from(["War", "war", "Old", "WAR", "x", "Sea", "Ärger"]), max_size=3),
            st.lists(st.sampled_from(["abed", "seas", "Oldest", "oldest", "Sea", "ärger", "Ärgerlich"]), max_size=3),
        ),
        max_size=12,
    )
)
def test_bearing_is_that_of_a_plain_count(rows: list[tuple[list[str], list[str]]]) -> None:
    """Against sets and loops; titles here have no phrases, and values one word."""
    found = terms.build(catalogue_of(*((", ".join(title), {"tags": values}) for values, title in rows)))
    words = [
        {value.casefold() for value in values if len(value) > 1} | {word.casefold() for word in title if len(word) >= 4}
        for values, title in rows
    ]
    counts = Counter(term for one in words for term in one)
    assert len({term.casefold() for term in found.terms}) == len(found.terms)
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


def test_a_possessive_is_a_term_of_its_own() -> None:
    vocabulary = "Children", "Children's", "Horror"
    assert named("Children of the Corn", *vocabulary) == ["Children"]
    assert named("CHILDREN'S films, horror's best", *vocabulary) == ["Children's", "Horror"]


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
