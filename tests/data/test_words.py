"""Words of titles, in scripts with and without spaces."""

from __future__ import annotations

import pytest

from recsae.data.words import keys, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Lord of the Rings", ["the", "lord", "of", "the", "rings"]),
        ("Schindler's List", ["schindler", "list"]),
        ("Schindler’s LIST", ["schindler", "list"]),
        ("Don't Look Now", ["don't", "look", "now"]),
        ("L'amour d'Artagnan O'Brien", ["l", "amour", "d", "artagnan", "o", "brien"]),
        ("PS4 8.5 x 11, 1,000 C++", ["ps4", "8.5", "x", "11", "1,000", "c"]),
        ("snow_white Spider-Man", ["snow", "white", "spider", "man"]),
        ("ＷＩＩ 🎮 Ｓｐｏｒｔｓ", ["wii", "sports"]),
        ("हिन्दी फिल्म", ["हिन्दी", "फिल्म"]),
        ("魔女の宅急便", ["魔女", "の", "宅急便"]),
        ("无线蓝牙耳机", ["无线", "蓝牙", "耳机"]),
        ("無線藍牙耳機", ["無線", "藍牙", "耳機"]),
        ("หนังสือเด็ก", ["หนังสือ", "เด็ก"]),
        ("", []),
        ("?!", []),
    ],
)
def test_keys(text: str, expected: list[str]) -> None:
    assert keys(text) == expected


@pytest.mark.parametrize(
    ("text", "joints"),
    [
        ("Star Wars: Episode 4", [None, " ", None, " "]),
        ("Matrix, The (Le)", [None, None, None]),
        ("Wallace & Gromit", [None, " & "]),
        ("Spider-Man - Home", [None, "-", None]),
        ("Mrs. Doubtfire. Again", [None, ". ", None]),
        ("スター・ウォーズ", [None, "・"]),
    ],
)
def test_punctuation_parts_phrases(text: str, joints: list[str | None]) -> None:
    assert [word.joint for word in split(text)] == joints


def test_a_word_keeps_its_spelling_with_and_without_possessive() -> None:
    first, second = split("Child's Play")
    assert (first.key, first.spelling, first.stem) == ("child", "Child's", "Child")
    assert (second.key, second.spelling, second.stem) == ("play", "Play", "Play")
