"""The stop words of a catalogue: function words of the languages that its titles are in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import stopwordsiso

MIN_SHARE = 0.1
"""Share of titles without a stop word of the languages found so far that must have one of a further language."""
MIN_WORDS = 3
"""Different stop words of a language that these must have: `Die Hard` is no German."""
MAX_TITLES = 2_000
"""Titles read to find the languages, spread over the catalogue."""
# The package's English list has 1,298 words, among them `ring`, `computer` and `fire`, which tell titles apart.
_ENGLISH = frozenset(
    re.findall(
        r"[\w'.]+",
        """
        a a.k.a aka about above after again against all along also am an and another any are around as at be
        because been before being below between both but by can can't cannot could did didn't do does doesn't
        doing don't during each either else etc ever every few for from had has have having he he's her here
        hers him his how i i'd i'll i'm i've if in into is isn't it it's its itself just like me more most much
        must my neither no nor not of off on once only onto or other our ours out over own per re same shall she
        she's should since so some such than that that's the their theirs them then there there's these they
        they're they've this those through to too toward towards under until up upon us very via vs was we we're
        we've were what what's when where which while who who's whom whose why will with within without won't
        would yet you you'll you're you've your yours
        """,
    )
)
# Of other languages' titles in an English catalogue. Without `los` and `las`, which begin names of cities.
_BORROWED = frozenset(
    re.findall(r"\w+", "da das de del della dem den der des di du ein eine el en et il la le les lo un una une und y")
)


def stop_words(titles: Sequence[Sequence[str]]) -> frozenset[str]:
    """Stop words of English and of the languages found in the titles, given as keys of their words.

    Languages are taken one by one, each time the one with stop words in most of the titles that have none yet.
    """
    sample = [set(title) for title in titles[:: -(-len(titles) // MAX_TITLES) or 1]]
    total = sum(1 for title in sample if title)
    found = _ENGLISH
    while left := [title for title in sample if title and title.isdisjoint(found)]:
        coverage = {code: _coverage(words, left) for code, words in _lists().items()}
        language = max(coverage, key=lambda code: coverage[code])
        if coverage[language] < (max(MIN_SHARE * total, 1), 0):
            break
        found |= _lists()[language]
    return found | _BORROWED


def _coverage(words: frozenset[str], titles: list[set[str]]) -> tuple[int, int]:
    """Titles with any of the words, and how many such words they have; none if the words are too few to tell."""
    found = [words & title for title in titles]
    if len(frozenset().union(*found)) < MIN_WORDS:
        return 0, 0
    return sum(1 for own in found if own), sum(map(len, found))


@cache
def _lists() -> dict[str, frozenset[str]]:
    """Stop words by ISO 639-1 code of the language, without Latin letters alone and without English."""
    return {
        code: frozenset(word for word in stopwordsiso.stopwords(code) if len(word) > 1 or not word.isascii())
        for code in sorted(stopwordsiso.langs() - {"en"})
    }
