"""Does an item bear a concept? Two judges: the language model, and the catalogue's own terms.

The language model is asked once for each unique (concept text, item); all latents and controls share the verdict. Its
value is a log-likelihood of the concept given the item (`pmi`: what centring by concept leaves of it is the pointwise
mutual information) or the log-odds of Yes against No (`yes_no`). It knows concepts and items, and no latents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from recsae.concepts import prompts
from recsae.concepts.engine import Answer, Request
from recsae.concepts.measures import auc
from recsae.concepts.terms import Vocabulary
from recsae.data.catalogue import Catalogue

Pair = tuple[str, int]
"""A concept's text and an item."""


class Verdicts:
    """The language model's values of all pairs asked so far; NaN where a row failed."""

    def __init__(self, judge: str, catalogue: Catalogue) -> None:
        self.judge = judge
        self.catalogue = catalogue
        self.answers: dict[Pair, Answer] = {}

    def missing(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Pairs not asked yet, those of one item next to each other, so that the engine reuses its prefix."""
        return sorted(set(pairs) - self.answers.keys(), key=lambda pair: (pair[1], pair[0]))

    def request(self, pair: Pair) -> Request:
        concept, item = pair
        text = self.catalogue.text(item)
        if self.judge == "pmi":
            return Request("loglikelihood", prompts.judge_pmi(text), prompts.continuation(concept))
        return Request("yes_no", prompts.judge_yes_no(text, concept))

    def values(self, concept: str, items: np.ndarray) -> np.ndarray:
        told = [self.answers[concept, int(item)].value for item in items]
        return np.array([np.nan if value is None else value for value in told], dtype=np.float64)

    def own_auc(self, vocabulary: Vocabulary, concepts: Sequence[tuple[str, list[str]]]) -> float | None:
        """The judge's AUC on pairs whose truth the attributes tell, each concept's values centred by their mean."""
        terms = dict(concepts)
        found: dict[str, list[tuple[int, float]]] = {}
        for (concept, item), answer in self.answers.items():
            if answer.value is not None and terms.get(concept):
                found.setdefault(concept, []).append((item, answer.value))
        if not found:
            return None
        values = [np.array([value for _, value in rows]) for rows in found.values()]
        truths = [
            bears(vocabulary, terms[concept], np.array([item for item, _ in rows])) for concept, rows in found.items()
        ]
        return auc(np.concatenate([value - value.mean() for value in values]), np.concatenate(truths))


def bears(vocabulary: Vocabulary, terms: list[str], items: np.ndarray) -> np.ndarray:
    """Whether each item bears all terms of a concept, `(items,)`."""
    columns = vocabulary.columns(terms)
    borne = np.asarray(vocabulary.bears[items][:, columns].sum(axis=1)).ravel()
    return np.asarray(borne == len(columns))
