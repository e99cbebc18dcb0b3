"""The languages of a catalogue, seen in its stop words."""

from __future__ import annotations

import pytest

from recsae.data.stopwords import stop_words
from recsae.data.words import keys

ENGLISH = ["The Lord of the Rings", "War of the Worlds", "A Man for All Seasons", "Gone with the Wind", "Die Hard"]
GERMAN = ["Der Herr der Ringe", "Das Boot", "Die Verwandlung", "Krieg und Frieden", "Es war einmal"]
FRENCH = ["Le Comte de Monte-Cristo", "Les Misérables", "Au bonheur des dames", "La Peste", "Le Rouge et le Noir"]


@pytest.mark.parametrize(
    ("titles", "stop", "kept"),
    [
        (ENGLISH, {"the", "of", "la"}, {"die", "war", "man", "ring", "computer", "wind"}),
        (GERMAN, {"der", "das", "die", "und", "war"}, {"boot", "krieg", "herr"}),
        (FRENCH, {"le", "les", "des", "et"}, {"comte", "peste", "die"}),
        (ENGLISH + GERMAN, {"the", "of", "der", "war"}, {"boot"}),
        (["魔女の宅急便", "ハウルの動く城", "千と千尋", "雨は夜に"], {"の", "と", "は"}, {"城", "魔女"}),
        (["三体与黑暗森林", "我的父亲母亲", "我和他的国", "她在那里"], {"的", "和"}, {"父亲", "森林"}),
        (["Toner", "Paper", "Ink"], {"the"}, {"paper", "ink", "die"}),
        ([], {"the"}, {"die"}),
    ],
)
def test_stop_words_are_those_of_the_languages_found(titles: list[str], stop: set[str], kept: set[str]) -> None:
    found = stop_words([keys(title) for title in titles])
    assert stop <= found and found.isdisjoint(kept)


def test_a_language_of_few_titles_gives_no_stop_words() -> None:
    titles = [keys(title) for title in ENGLISH * 10]
    rest = [keys(title) for title in GERMAN]
    assert "die" not in stop_words([*titles, *rest[3:4]]) and "die" in stop_words([*titles, *rest * 2])
