"""The catalogue's vocabulary: attribute values, their words and title words, and which item has which.

Terms let a concept be checked against items without a language model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
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
"""The words of a value; an apostrophe is part of a word: `Children's` is one."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Terms, and the items that have them: column v of `item_terms`, `(items, terms)` of 0 and 1, is `terms[v]`."""

    terms: list[str]
    item_terms: sparse.csr_matrix

    def columns(self, terms: list[str]) -> list[int]:
        """Columns of the terms, regardless of case. Raises KeyError on one that is not in the vocabulary."""
        return [self._columns_by_key[term.casefold()] for term in terms]

    def has(self, term: str) -> bool:
        return term.casefold() in self._columns_by_key

    def items_with(self, terms: list[str]) -> np.ndarray:
        """Which items have all of the terms, `(items,)` bool. Raises KeyError like `columns`."""
        columns = self.columns(terms)
        has_all_I: np.ndarray = np.asarray(self.item_terms[:, columns].sum(1)).ravel() == len(columns)
        return has_all_I

    def canonical(self, text: str) -> str:
        """`text` as the vocabulary spells it, or unchanged if it is no term."""
        column = self._columns_by_key.get(text.casefold())
        return text if column is None else self.terms[column]

    def terms_in(self, text: str) -> list[str]:
        """Terms that occur in `text` as whole words, plural or singular, longest first and without overlap."""
        words = _words(text)
        spans = [
            (-len(self.terms[column]), column, start, end)
            for start in range(len(words))
            for end in range(start + 1, min(start + self._longest, len(words)) + 1)
            if (column := self._forms.get(" ".join(words[start:end]))) is not None
        ]
        found: dict[int, None] = {}
        taken: set[int] = set()
        for _, column, start, end in sorted(spans):
            if taken.isdisjoint(range(start, end)):
                taken.update(range(start, end))
                found[column] = None
        return [self.terms[column] for column in found]

    @cached_property
    def _columns_by_key(self) -> dict[str, int]:
        return {term.casefold(): number for number, term in enumerate(self.terms)}

    @cached_property
    def _forms(self) -> dict[str, int]:
        """Columns by form. A term's own form takes precedence over plurals and singulars of others."""
        columns = sorted(range(len(self.terms)), key=lambda column: -len(self.terms[column]))
        plain = [(" ".join(_words(self.terms[column])), column) for column in columns]
        forms: dict[str, int] = {}
        plural = [(form + "s", column) for form, column in plain]
        singular = [(form.removesuffix("s"), column) for form, column in plain]
        for form, column in (*plain, *plural, *singular):
            if len(form) > 2:
                forms.setdefault(form, column)
        return forms

    @cached_property
    def _longest(self) -> int:
        """Number of words of the longest form."""
        return max((form.count(" ") + 1 for form in self._forms), default=0)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def build(catalogue: Catalogue) -> Vocabulary:
    """Values, words of values and title words that at least MIN_ITEMS items have.

    An item has each value on its path, as split by ingest. A title word that equals a value counts as that value. The
    words of a value are terms too, except those that are values themselves: `non-fiction` is not `Fiction`.
    """
    item_values = [
        [value for values in row.values() for value in values if len(value) > 1] for row in catalogue.attributes
    ]
    values = _incidence(item_values)
    in_titles = _incidence([_title_words(title.casefold()) for title in catalogue.titles])
    in_values = _incidence([_title_words(key) if len(_PARTS.findall(key)) > 1 else [] for key in values.keys])

    known = {key: column for column, key in enumerate(values.keys)}
    words = [key for key in dict.fromkeys([*in_titles.keys, *in_values.keys]) if key not in known]
    new = {word: column for column, word in enumerate(words)}
    has_value = _binarise(values.items + in_titles.items @ _column_map(in_titles.keys, known))
    value_words = in_values.items @ _column_map(in_values.keys, new)
    has_word = _binarise(in_titles.items @ _column_map(in_titles.keys, new) + values.items @ value_words)

    item_terms = sparse.hstack([has_value, has_word], format="csc")
    keys, spellings = [*values.keys, *words], [*values.spellings, *(word.capitalize() for word in words)]
    frequent = np.flatnonzero(np.diff(item_terms.indptr) >= MIN_ITEMS).tolist()
    columns = sorted(frequent, key=lambda column: keys[column])
    return Vocabulary([spellings[column] for column in columns], sparse.csr_matrix(item_terms[:, columns]))


class _Incidence(NamedTuple):
    """Which owner has which string, regardless of case: `items`, `(owners, strings)` of 0 and 1."""

    keys: list[str]
    """The strings, case folded."""
    spellings: list[str]
    """Their first spellings."""
    items: sparse.csr_matrix


def _incidence(strings: Sequence[Sequence[str]]) -> _Incidence:
    """The incidence of one list of strings per owner."""
    owner = np.repeat(np.arange(len(strings)), [len(own) for own in strings])
    spelling, spellings = _factorise([*chain.from_iterable(strings)])
    key_of, keys = _factorise([text.casefold() for text in spellings])
    _, first = np.unique(key_of, return_index=True)
    ones = np.ones(len(owner), dtype=np.float32)
    items = sparse.csr_matrix((ones, (owner, key_of[spelling])), shape=(len(strings), len(keys)))
    return _Incidence(keys, [spellings[number] for number in first], _binarise(items))


def _factorise(strings: list[str]) -> tuple[np.ndarray, list[str]]:
    """The number of each string, and the distinct strings in the order of their first occurrence."""
    encoded = pa.array(strings, pa.large_string()).dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _title_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word not in STOPWORDS]


def _column_map(keys: Sequence[str], columns: Mapping[str, int]) -> sparse.csr_matrix:
    """A matrix whose product moves column i to `columns[keys[i]]`, or drops it if the key is not there."""
    pairs = [(source, columns[key]) for source, key in enumerate(keys) if key in columns]
    sources, targets = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    ones = np.ones(len(sources), dtype=np.float32)
    return sparse.csr_matrix((ones, (sources, targets)), shape=(len(keys), len(columns)))


def _binarise(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix, its nonzeros set to 1 in place."""
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
