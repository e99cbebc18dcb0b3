"""The catalogue's vocabulary: attribute values, their words and title words, and which item bears which.

A term is what a concept can be checked against without a language model. It knows items and terms, and no latents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from recsae.data.catalogue import Catalogue

MIN_WORD = 4
MIN_ITEMS = 3
STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "about after also another been before from have into just like more most only other over part some such than "
        "that their them then there these they this those through under very were what when where which while with "
        "without your",
    )
)
_WORD = re.compile(rf"[^\W\d_]{{{MIN_WORD},}}")
_PARTS = re.compile(r"[^\s_/&,+-]+")
"""What a value of several words falls into; an apostrophe parts nothing: `Children's` is one word."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """`terms[v]` is borne by the items in column v of `bears`, `(items, terms)` of 0 and 1."""

    terms: list[str]
    item_terms: sparse.csr_matrix

    def columns(self, terms: list[str]) -> list[int]:
        """Where terms stand, however they are capitalised. Raises KeyError on one that is not there."""
        return [self._places[term.casefold()] for term in terms]

    def has(self, term: str) -> bool:
        return term.casefold() in self._places

    def items_with(self, terms: list[str]) -> np.ndarray:
        """Which items bear all of them, `(items,)` bool. Raises KeyError as `columns`."""
        columns = self.columns(terms)
        borne_I: np.ndarray = np.asarray(self.item_terms[:, columns].sum(1)).ravel() == len(columns)
        return borne_I

    def canonical(self, text: str) -> str:
        """`text` as the vocabulary spells it, or as it is where it is no term."""
        place = self._places.get(text.casefold())
        return text if place is None else self.terms[place]

    def terms_in(self, text: str) -> list[str]:
        """Terms that stand in `text` as whole words, plural or singular, longest first and without overlap."""
        words = _words(text)
        spans = [
            (-len(self.terms[place]), place, start, end)
            for start in range(len(words))
            for end in range(start + 1, min(start + self._longest, len(words)) + 1)
            if (place := self._forms.get(" ".join(words[start:end]))) is not None
        ]
        found: dict[int, None] = {}
        taken: set[int] = set()
        for _, place, start, end in sorted(spans):
            if taken.isdisjoint(range(start, end)):
                taken.update(range(start, end))
                found[place] = None
        return [self.terms[place] for place in found]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {term.casefold(): number for number, term in enumerate(self.terms)}

    @cached_property
    def _forms(self) -> dict[str, int]:
        """From a form to its term. A term's own form goes before the plural of one and the singular of another."""
        places = sorted(range(len(self.terms)), key=lambda place: -len(self.terms[place]))
        plain = [(" ".join(_words(self.terms[place])), place) for place in places]
        forms: dict[str, int] = {}
        plural = [(form + "s", place) for form, place in plain]
        singular = [(form.removesuffix("s"), place) for form, place in plain]
        for form, place in (*plain, *plural, *singular):
            if len(form) > 2:
                forms.setdefault(form, place)
        return forms

    @cached_property
    def _longest(self) -> int:
        """Words of the longest form."""
        return max((form.count(" ") + 1 for form in self._forms), default=0)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def build(catalogue: Catalogue) -> Vocabulary:
    """Values, words of values and title words that at least MIN_ITEMS items bear.

    An item bears each value on its path, as ingest has split them. A title word that is a value is that value. A value
    of several words gives its words too, except those that are values themselves: `non-fiction` is no `Fiction`.
    """
    held = [[value for values in row.values() for value in values if len(value) > 1] for row in catalogue.attributes]
    values = _incidence(held)
    in_titles = _incidence([_title_words(title.casefold()) for title in catalogue.titles])
    in_values = _incidence([_title_words(key) if len(_PARTS.findall(key)) > 1 else [] for key in values.keys])

    known = {key: place for place, key in enumerate(values.keys)}
    words = [key for key in dict.fromkeys([*in_titles.keys, *in_values.keys]) if key not in known]
    new = {word: place for place, word in enumerate(words)}
    bears_value = _binarise(values.items + in_titles.items @ _column_map(in_titles.keys, known))
    made_of = in_values.items @ _column_map(in_values.keys, new)
    bears_word = _binarise(in_titles.items @ _column_map(in_titles.keys, new) + values.items @ made_of)

    bears = sparse.hstack([bears_value, bears_word], format="csc")
    keys, shown = [*values.keys, *words], [*values.shown, *(word.capitalize() for word in words)]
    places = sorted(np.flatnonzero(np.diff(bears.indptr) >= MIN_ITEMS).tolist(), key=lambda place: keys[place])
    return Vocabulary([shown[place] for place in places], sparse.csr_matrix(bears[:, places]))


class _Incidence(NamedTuple):
    """Strings without regard to capitals, each as it was first spelt, and `items`: `(holders, strings)` of 0 and 1."""

    keys: list[str]
    shown: list[str]
    items: sparse.csr_matrix


def _incidence(held: Sequence[Sequence[str]]) -> _Incidence:
    """Of one list of strings a holder."""
    owner = np.repeat(np.arange(len(held)), [len(one) for one in held])
    spelling, spellings = pd.factorize(np.array([*chain.from_iterable(held)], dtype=object))
    merged, keys = pd.factorize(np.array([text.casefold() for text in spellings], dtype=object))
    _, first = np.unique(merged, return_index=True)
    ones = np.ones(len(owner), dtype=np.float32)
    items = sparse.csr_matrix((ones, (owner, merged[spelling])), shape=(len(held), len(keys)))
    return _Incidence(list(keys), [spellings[place] for place in first], _binarise(items))


def _title_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word not in STOPWORDS]


def _column_map(keys: Sequence[str], places: Mapping[str, int]) -> sparse.csr_matrix:
    """`matrix @ this` puts column i where `places` has `keys[i]`, or drops it."""
    pairs = [(row, places[key]) for row, key in enumerate(keys) if key in places]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return sparse.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(len(keys), len(places)))


def _binarise(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same places, each holding 1."""
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
