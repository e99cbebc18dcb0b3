"""Words and phrases of titles, and how they are spelt."""

from __future__ import annotations

import pytest

from recsae.data import title_terms

FILLER = [f"Word{n} Other{n}" for n in range(20)]


def test_terms_of_titles() -> None:
    found = title_terms.read(["The Malcolm X Story (1992)", "C.J. at 12, 2048", "Éa"], [], 3)
    assert found.terms == [["malcolm", "story"], ["2048"], ["éa"]]


def test_the_most_common_spelling_is_shown() -> None:
    titles = ["iPod nano", "IPOD nano", "iPod NANO", "Child's Play", "child's play", "Child's Play", *FILLER]
    found = title_terms.read(titles, [], 3)
    assert [found.spelling(key) for key in ("ipod", "nano", "child", "child play", "unseen")] == [
        "iPod",
        "Nano",
        "Child",
        "Child's Play",
        "Unseen",
    ]


def test_a_hyphenated_word_keeps_its_stop_words() -> None:
    titles = ["All-in-One Printer", "An All-in-One Fax", "all-in-one Copier", "All the Toner in One", *FILLER]
    found = title_terms.read(titles, [], 3)
    assert [own[-1] for own in found.terms[:4]] == ["all in one", "all in one", "all in one", "one"]
    assert found.spelling("all in one") == "All-in-One"


def test_a_letter_ends_a_phrase_as_a_capital_and_numbers_alone_are_none() -> None:
    found = title_terms.read([*["Malcolm X"] * 3, *["8.5 y 11"] * 3, *["5 z"] * 3, *FILLER], [], 3)
    assert found.terms[0] == ["malcolm", "malcolm x"]
    assert found.terms[3] == []


@pytest.mark.parametrize(
    ("run", "expected"),
    [("wii", True), ("ps4games", True), ("game", False), ("魔", True), ("魔女", False), ("ไทย", True)],
)
def test_short_words(run: str, expected: bool) -> None:
    assert title_terms.is_short([run]) == expected
    assert not title_terms.is_short([run, run])
