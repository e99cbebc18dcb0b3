"""Words and phrases of titles that may be terms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from recsae.data import numbers, words
from recsae.data.phrases import phrases
from recsae.data.stopwords import stop_words
from recsae.data.words import Word

MIN_LETTERS = 4
"""Words with fewer letters, or with digits, are short."""
MIN_DIGITS = 3
"""A number with fewer digits says little, such as `12`."""
_IDEOGRAPH = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Han, kana and Hangul: two of these letters say as much as four of an alphabet."""
_NUMBER = re.compile(r"[\d.,]+")
_INITIALS = re.compile(r"[^\W\d_]{1,2}(?:\.[^\W\d_]{1,2})+")
_HYPHENS = ("-", "\u2010", "\u2011")


@dataclass(frozen=True)
class TitleTerms:
    """What titles say, item by item."""

    terms: list[list[str]]
    """Keys of the words and phrases of each title; a phrase's words are parted by spaces."""
    stop_words: frozenset[str]
    spellings: dict[str, str]
    """The most common spelling of each key."""

    def long_words(self, keys: Iterable[str]) -> list[str]:
        """Those of the words that are neither stop words nor short."""
        return [key for key in keys if _may_be_term(key, self.stop_words) and not is_short([key])]

    def spelling(self, key: str) -> str:
        """The most common spelling, with a capital where it has none."""
        spelling = self.spellings.get(key, key)
        return spelling[0].upper() + spelling[1:] if spelling.islower() else spelling


def read(titles: Sequence[str], values: Sequence[Sequence[str]], min_items: int) -> TitleTerms:
    """The terms of titles. The words of `values` help to find the catalogue's languages."""
    split = [words.split(numbers.without_years(title)) for title in titles]
    own_keys = [[word.key for word in own] for own in split]
    stop = stop_words([*own_keys, *(keys for keys in values if len(keys) > 1)])
    terms = [[key for key in keys if _may_be_term(key, stop)] for keys in own_keys]
    counted = Counter((word.key, word.stem) for own in split for word in own)
    counted += _add_phrases(terms, split, stop, min_items)
    spellings: dict[str, str] = {}
    for (key, spelling), _ in counted.most_common():
        spellings.setdefault(key, spelling)
    return TitleTerms(terms, stop, spellings)


def is_short(run: Sequence[str]) -> bool:
    """Whether a term is one short word, which must be more frequent than others."""
    key = run[0]
    return len(run) == 1 and (
        any(letter.isdigit() for letter in key) or len(key) < (2 if _DENSE.match(key) else MIN_LETTERS)
    )


def _may_be_term(key: str, stop: frozenset[str]) -> bool:
    if key in stop or _INITIALS.fullmatch(key):
        return False
    if _NUMBER.fullmatch(key):
        return key.isdigit() and len(key) >= MIN_DIGITS
    return len(key) > 1 or bool(_IDEOGRAPH.match(key))


def _add_phrases(
    terms: list[list[str]], split: list[list[Word]], stop: frozenset[str], min_items: int
) -> Counter[tuple[str, str]]:
    """Add to each title's terms its phrases; returns how often each is spelt how."""
    text = [word for own in split for word in own]
    title_T = np.repeat(np.arange(len(split)), [len(own) for own in split])
    number: dict[str, int] = {}
    word_T = np.array([number.setdefault(word.key, len(number)) for word in text], dtype=np.int64)
    begins_T = np.array([word.joint is None for word in text], dtype=bool)
    outer_T = np.array([_may_end(word, stop) for word in text], dtype=bool)
    hyphen_T = np.array([word.joint in _HYPHENS for word in text], dtype=bool)
    hyphen_next_T = np.append(hyphen_T[1:], False)[: len(text)]
    may_begin_T = outer_T | (hyphen_next_T & ~hyphen_T)  # at a stop word only with all of `All-in-One`
    may_end_T = outer_T | (hyphen_T & ~hyphen_next_T)
    counted: Counter[tuple[str, str]] = Counter()
    for length, starts in phrases(word_T, begins_T, may_begin_T, may_end_T, min_items):
        items = np.unique(title_T[starts]).tolist()
        first = text[starts[0] : starts[0] + length]
        if len(items) < min_items or all(_NUMBER.fullmatch(word.key) or len(word.key) == 1 for word in first):
            continue
        key = " ".join(word.key for word in first)
        for item in items:
            terms[item].append(key)
        for start in starts.tolist():
            counted[key, _spelt(text[start : start + length])] += 1
    return counted


def _may_end(word: Word, stop: frozenset[str]) -> bool:
    """Whether a phrase may begin or end with the word: `Malcolm X`, but not `8.5 x`."""
    return word.key not in stop and (len(word.key) > 1 or word.key.isdigit() or not word.stem.islower())


def _spelt(run: Sequence[Word]) -> str:
    middle = "".join((word.joint or "") + word.spelling for word in run[1:-1])
    return run[0].spelling + middle + (run[-1].joint or "") + run[-1].stem
