"""Splits titles and values into words, by ICU: in Chinese, Japanese, Thai and the like by its dictionaries."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from icu4py.breakers import WordBreaker

_POSSESSIVES = ("'s", "’s", "'S", "’S")
_ELISION = re.compile(r"([^\W\d_]{1,2}['’])([^\W\d_]{3,})$")
"""`l'amour`, `d'Artagnan` and `O'Brien` are two words."""
_JOINT = re.compile(r"\s?|\s?&\s?|[-\u2010\u2011'’\u30fb\u00b7]")
"""What stands between two words of one phrase; anything else parts phrases."""
_ABBREVIATION = re.compile(r"\.\s?")
_LONGEST_ABBREVIATION = 3
"""Letters of a word whose full stop ends no sentence: `Mrs. Doubtfire`."""


class Word(NamedTuple):
    """One word of a text."""

    key: str
    """Case folded, without a possessive `'s`: equal for spellings that count as one word."""
    spelling: str
    """As in the text."""
    stem: str
    """The spelling without a possessive `'s`."""
    joint: str | None
    """What joins it to the word before it, or None where it begins a new phrase."""


def split(text: str) -> list[Word]:
    """The words of a text, in order. Full-width letters count as plain ones."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    words: list[Word] = []
    joint: str | None = None
    for piece in WordBreaker(text.replace("_", " "), "en"):
        if not piece[0].isalnum():
            joint = None if joint is None else joint + piece
            continue
        parts = None if piece.isalnum() else _ELISION.fullmatch(piece)
        for spelling in parts.groups() if parts else (piece,):
            stem = spelling[:-2] if spelling.endswith(_POSSESSIVES) else spelling
            words.append(Word(_key(stem), spelling, stem, _joint(joint, words)))
            joint = ""
    return words


def keys(text: str) -> list[str]:
    return [word.key for word in split(text)]


def _key(stem: str) -> str:
    return stem.casefold().replace("’", "'").rstrip("'")


def _joint(between: str | None, words: list[Word]) -> str | None:
    if between is None or _JOINT.fullmatch(between):
        return between
    abbreviated = len(words[-1].key) <= _LONGEST_ABBREVIATION and words[-1].key.isalpha()
    return between if abbreviated and _ABBREVIATION.fullmatch(between) else None
