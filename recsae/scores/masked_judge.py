"""The language-model judge on texts without the answer.

An item's text mostly holds the attribute that a concept of terms asks about, so the judge has only to find it. What it
is worth beyond that shows on the same pairs of a concept and an item, with that attribute and the terms themselves
taken out of the text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from recsae.data.catalogue import Catalogue
from recsae.labels.judges import LlmJudge, Pair

PAIRS = 128
"""Pairs, drawn by the seed, that are asked again."""


class MaskedJudge(LlmJudge):
    """Judges items without the attributes in which the terms of a concept occur, and without them in the title."""

    def __init__(self, judge: str, catalogue: Catalogue, terms: Mapping[str, Sequence[str]]) -> None:
        super().__init__(judge, catalogue)
        self._terms = terms
        self._attributes: dict[str, set[str]] = defaultdict(set)
        for row in catalogue.attributes:
            for name, values in row.items():
                for value in values:
                    for form in (value.casefold(), *re.findall(r"\w+", value.casefold())):
                        self._attributes[form].add(name)

    def text(self, pair: Pair) -> str:
        concept, item = pair
        terms = [term.casefold() for term in self._terms[concept]]
        masked = set().union(*(self._attributes.get(term, ()) for term in terms))
        kept = {name: values for name, values in self.catalogue.attributes[item].items() if name not in masked}
        words = "|".join(re.escape(term) for term in terms)
        title = re.sub(rf"\b(?:{words})\b", "…", self.catalogue.titles[item], flags=re.IGNORECASE)
        return Catalogue([self.catalogue.ids[item]], [title], [kept], self.catalogue.popularity[[item]]).text(0)


def draw_pairs(judge: LlmJudge, terms: Mapping[str, Sequence[str]], seed: int) -> list[Pair]:
    """Up to PAIRS pairs that the judge answered about a concept with terms, drawn by the seed, in order."""
    known = sorted(pair for pair, answer in judge.answers.items() if answer.value is not None and terms.get(pair[0]))
    chosen = np.random.default_rng(seed).permutation(len(known))[:PAIRS]
    return [known[number] for number in sorted(chosen.tolist())]
