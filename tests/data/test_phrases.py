"""Phrases by log-likelihood ratio."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.data.phrases import log_likelihood_ratio, parts, phrases


def found_in(*titles: str, stop: str = "the of") -> dict[str, list[int]]:
    """Phrases and the titles that they begin in; `|` parts a title."""
    text, begins, title_of = [], [], []
    for number, title in enumerate(titles):
        for part in title.split("|"):
            words = part.split()
            text += words
            begins += [True, *[False] * (len(words) - 1)]
            title_of += [number] * len(words)
    numbers = {word: number for number, word in enumerate(dict.fromkeys(text))}
    may_end = np.array([word not in stop.split() for word in text])
    found = phrases(np.array([numbers[word] for word in text]), np.array(begins), may_end, may_end, 3)
    return {" ".join(text[at[0] : at[0] + length]): [title_of[one] for one in at] for length, at in found}


def test_the_ratio_of_a_table_worked_by_hand() -> None:
    # 10 of 20 and 10 of 30 among 100: expected 6, 14, 24, 56.
    counts, expected = [10, 10, 20, 60], [6, 14, 24, 56]
    by_hand = 2 * sum(count * np.log(count / mean) for count, mean in zip(counts, expected, strict=True))
    ratio = log_likelihood_ratio(np.array([10, 2, 20]), np.array([20, 20, 20]), np.array([30, 30, 20]), 100)
    assert ratio[0] == pytest.approx(by_hand)
    assert ratio[1] < 0  # fewer than the 6 expected
    assert ratio[2] == pytest.approx(-200 * (0.2 * np.log(0.2) + 0.8 * np.log(0.8)))


def test_words_together_more_often_than_chance_are_a_phrase() -> None:
    filler = [f"a{n} b{n} c{n}" for n in range(10)]
    assert found_in("lord of the rings", "lord of the rings", "the lord of the rings", *filler) == {
        "lord of the rings": [0, 1, 2]
    }


def test_chance_punctuation_and_stop_words_give_none() -> None:
    assert found_in(*["red pen", "pen red", "red red", "pen pen"] * 4) == {}
    assert found_in(*["star|wars"] * 3, *(f"a{n}" for n in range(20))) == {}
    assert found_in(*["the end"] * 3, *(f"a{n}" for n in range(20))) == {}
    assert found_in(*["star wars"] * 2, *(f"a{n}" for n in range(20))) == {}


def test_every_place_where_a_phrase_can_be_cut_must_hold() -> None:
    # `blue` stands before `star wars` no more often than before anything.
    titles = [
        *["star wars"] * 6,
        *["blue star wars"] * 3,
        *(f"blue a{n}" for n in range(6)),
        *(f"b{n}" for n in range(9)),
    ]
    assert set(found_in(*titles)) == {"star wars"}


def test_phrases_of_up_to_six_words() -> None:
    text = "one two three four five six seven"
    found = found_in(*[text] * 3, *(f"a{n}" for n in range(40)))
    assert max(len(phrase.split()) for phrase in found) == 6 and "two three" in found


def test_no_words_have_no_phrases() -> None:
    empty = np.array([], dtype=np.int64)
    assert phrases(empty, *[empty.astype(bool)] * 3, 3) == []


def test_parts() -> None:
    assert parts(["a", "b", "c"]) == {("a",), ("b",), ("c",), ("a", "b"), ("b", "c")}
