"""The catalogue's vocabulary: attribute values and title words, and which item bears which.

A term is what a concept can be checked against without a language model. It knows items and terms, and no latents.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.data.catalogue import Catalogue

MIN_TITLE_WORD = 4
MIN_ITEMS = 3
STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "about after also another been before from have into just like more most only other over part some such than "
        "that their them then there these they this those through under very were what when where which while with "
        "without your",
    )
)


class Vocabulary(NamedTuple):
    """`terms[v]` is borne by the items in column v of `bears`, `(items, terms)` of 0 and 1."""

    terms: list[str]
    bears: sparse.csr_matrix

    def columns(self, terms: list[str]) -> list[int]:
        place = {term.casefold(): number for number, term in enumerate(self.terms)}
        return [place[term.casefold()] for term in terms]

    def named_in(self, text: str) -> list[str]:
        """Terms that stand in `text` as whole words, plural or singular, longest first and without overlap."""
        found = []
        rest = f" {' '.join(_words(text))} "
        for term in sorted(self.terms, key=len, reverse=True):
            words = " ".join(_words(term))
            for form in (words, words + "s", words.removesuffix("s")):
                if len(form) > 2 and f" {form} " in rest:
                    found.append(term)
                    rest = rest.replace(f" {form} ", "  ")
                    break
        return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def build(catalogue: Catalogue) -> Vocabulary:
    """Attribute values and title words borne by at least MIN_ITEMS items; a word that is a value is that value."""
    borne: list[set[str]] = []
    shown: dict[str, str] = {}
    for attributes in catalogue.attributes:
        values = [value for values in attributes.values() for value in values if len(value) > 1]
        borne.append({value.casefold() for value in values})
        for value in values:
            shown.setdefault(value.casefold(), value)
    for item, title in enumerate(catalogue.titles):
        words = set(re.findall(rf"[^\W\d_]{{{MIN_TITLE_WORD},}}", title.casefold())) - STOPWORDS
        borne[item] |= words
        for word in words:
            shown.setdefault(word, word.capitalize())
    counts = Counter(term for terms in borne for term in terms)
    kept = sorted(term for term, count in counts.items() if count >= MIN_ITEMS)
    place = {term: number for number, term in enumerate(kept)}
    pairs = [(item, place[term]) for item, terms in enumerate(borne) for term in terms if term in place]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    bears = sparse.csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(catalogue.n_items, len(kept))
    )
    return Vocabulary([shown[term] for term in kept], bears)
