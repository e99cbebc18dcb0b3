"""The catalogue's vocabulary: attribute values, words and phrases of titles, and which item has which.

Terms let a concept be checked against items without a language model.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.data import numbers, title_terms, words
from recsae.data.catalogue import Catalogue
from recsae.data.phrases import parts

MIN_ITEMS = 3
MIN_ITEMS_SHORT = 5
"""The same for words of up to three letters or with digits, which are noise more often."""
PIECE = 0.8
"""A word or phrase is a piece of a longer term that so large a share of its items have: `Hills` of `Beverly Hills`."""
PIECE_WORD = 0.75
"""The same for a word of a phrase of titles: `Potter` of `Harry Potter`."""
_MONTH = r"(?:0?[1-9]|1[0-2])"
_DATE = re.compile(
    rf"(?:\D*\b)?(?:\d{{4}}[-/.]{_MONTH}(?:[-/.]\d{{1,2}})?|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}})(?:[T ][\d:.]+Z?)?"
)
"""Also with a word before it, as in `seen 2010-05`."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Terms, and the items that have them: column v of `item_terms`, `(items, terms)` of 0 and 1, is `terms[v]`."""

    terms: list[str]
    item_terms: sparse.csr_matrix
    summary: str = ""
    """How many terms there are, and which values of the catalogue are none."""

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
        keys = _words(text)
        spans = [
            (-len(self.terms[column]), column, start, end)
            for start in range(len(keys))
            for end in range(start + 1, min(start + self._longest, len(keys)) + 1)
            if (column := self._forms.get(" ".join(keys[start:end]))) is not None
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
            if len(form) > 2 or not form.isascii():
                forms.setdefault(form, column)
        return forms

    @cached_property
    def _longest(self) -> int:
        """Number of words of the longest form."""
        return max((form.count(" ") + 1 for form in self._forms), default=0)


def _words(text: str) -> list[str]:
    """Keys of the words, the `s` of a possessive apart: `Children's` is not `Children`."""
    found = []
    for word in words.split(text):
        found += [word.key] if word.stem == word.spelling else [word.key, "s"]
    return found


def build(catalogue: Catalogue) -> Vocabulary:
    """Values, words of values, and words and phrases of titles that enough items have.

    An item has each value on its path, as split by ingest. A phrase, or a word that is not short, counts as the value
    that it equals. The words of a value are terms too, except values themselves: `non-fiction` is not `Fiction`. No
    terms are dates, values of attributes of numbers, and words or phrases nearly always within one longer term.
    """
    item_values, left_out = _values(catalogue)
    values = _incidence(item_values)
    value_words = [words.keys(key) for key in values.keys]
    found = title_terms.read(catalogue.titles, value_words, MIN_ITEMS)
    in_titles = _incidence(found.terms)
    in_values = _incidence([found.long_words(own) if len(own) > 1 else [] for own in value_words])

    of_value = {" ".join(own): column for column, own in enumerate(value_words) if len(own) > 1}
    of_value |= {key: column for column, key in enumerate(values.keys)}
    others = [key for key in dict.fromkeys([*in_titles.keys, *in_values.keys]) if key not in of_value]
    known = {key: column for key, column in of_value.items() if not title_terms.is_short(key.split(" "))}
    new = {word: column for column, word in enumerate(others)}
    has_value = _binarise(values.items + in_titles.items @ _column_map(in_titles.keys, known, len(values.keys)))
    of_values = values.items @ (in_values.items @ _column_map(in_values.keys, new, len(others)))
    has_other = _binarise(in_titles.items @ _column_map(in_titles.keys, new, len(others)) + of_values)

    item_terms = sparse.hstack([has_value, has_other], format="csc")
    item_terms.sort_indices()
    keys, spellings = [*values.keys, *others], [*values.spellings, *(found.spelling(word) for word in others)]
    runs = [*(tuple(own) for own in value_words), *(tuple(word.split(" ")) for word in others)]
    columns = sorted(_chosen(runs, len(value_words), item_terms), key=lambda column: keys[column])
    n_values = sum(column < len(value_words) for column in columns)
    summary = f"{n_values} values, {len(columns) - n_values} words and phrases; no terms: {left_out}"
    return Vocabulary([spellings[column] for column in columns], sparse.csr_matrix(item_terms[:, columns]), summary)


def _values(catalogue: Catalogue) -> tuple[list[list[str]], str]:
    """The values of each item that may be terms, and in words which others there are."""
    numeric = numbers.not_terms(catalogue)
    dates: Counter[str] = Counter()
    item_values: list[list[str]] = []
    for attributes in catalogue.attributes:
        item_values.append([])
        for name, values in attributes.items():
            for value in values if name not in numeric else ():
                if _DATE.fullmatch(value):
                    dates[value] += 1
                elif len(value) > 1:
                    item_values[-1].append(value)
    return item_values, f"numbers of {', '.join(sorted(numeric)) or 'no attribute'}, {len(dates)} dates"


def _chosen(runs: list[tuple[str, ...]], n_values: int, item_terms: sparse.csc_matrix) -> set[int]:
    """Columns that become terms, given the words of each; the first `n_values` are values."""
    support = np.diff(item_terms.indptr)
    short = np.array([column >= n_values and title_terms.is_short(run) for column, run in enumerate(runs)], dtype=bool)
    frequent = np.flatnonzero(support >= np.where(short, MIN_ITEMS_SHORT, MIN_ITEMS)).tolist()
    others = {runs[column]: column for column in frequent if column >= n_values}
    pieces = set()
    for longer in frequent:
        for part in parts(runs[longer]) if len(runs[longer]) > 1 else ():
            share = PIECE_WORD if len(part) == 1 and longer >= n_values else PIECE
            column = others.get(part)
            if column is not None and support[longer] >= share * support[column]:
                pieces.add(column)
    return (
        {*frequent} - pieces - _twins([column for column in others.values() if column not in pieces], runs, item_terms)
    )


def _twins(columns: list[int], runs: list[tuple[str, ...]], item_terms: sparse.csc_matrix) -> set[int]:
    """Columns with the items of another one, at least as long, with which they share a word."""
    by_items: dict[bytes, list[int]] = defaultdict(list)
    for column in sorted(columns, key=lambda column: (-len(runs[column]), runs[column])):
        start, end = item_terms.indptr[column : column + 2]
        by_items[item_terms.indices[start:end].tobytes()].append(column)
    twins = set()
    for alike in by_items.values():
        told: set[str] = set()
        for column in alike:
            if told.isdisjoint(runs[column]):
                told.update(runs[column])
            else:
                twins.add(column)
    return twins


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


def _column_map(keys: Sequence[str], columns: Mapping[str, int], n_columns: int) -> sparse.csr_matrix:
    """A matrix whose product moves column i to `columns[keys[i]]`, or drops it if the key is not there."""
    pairs = [(source, columns[key]) for source, key in enumerate(keys) if key in columns]
    sources, targets = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    ones = np.ones(len(sources), dtype=np.float32)
    return sparse.csr_matrix((ones, (sources, targets)), shape=(len(keys), n_columns))


def _binarise(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix, its nonzeros set to 1 in place."""
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
