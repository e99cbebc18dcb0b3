"""Judges whether an item has a concept: by the language model, or by the catalogue's own terms.

The language model is asked once per unique (concept text, item); all latents and controls share the verdict. Its value
is the log-likelihood of the concept given the item (`pmi`: centred by concept, it is the pointwise mutual information)
or the log-odds of Yes against No (`yes_no`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.labels import prompts
from recsae.llm.pool import Completion, Request

Pair = tuple[str, int]
"""A concept's text and an item."""


class LlmJudge:
    """The language model's values for all pairs asked so far; NaN for a failed pair."""

    def __init__(self, judge: str, catalogue: Catalogue) -> None:
        self.judge = judge
        self.catalogue = catalogue
        self.answers: dict[Pair, Completion] = {}

    def missing(self, pairs: Iterable[Pair]) -> list[Pair]:
        """The pairs not asked yet, grouped by item so that the engine reuses the prompt prefix."""
        return sorted(set(pairs) - self.answers.keys(), key=lambda pair: (pair[1], pair[0]))

    def request(self, pair: Pair) -> Request:
        concept, _ = pair
        text = self.text(pair)
        if self.judge == "pmi":
            return Request("loglikelihood", prompts.judge_pmi(text), prompts.continuation(concept))
        return Request("yes_no", prompts.judge_yes_no(text, concept))

    def text(self, pair: Pair) -> str:
        """What the judge reads of the item."""
        return self.catalogue.text(pair[1])

    def values(self, concept: str, items: np.ndarray) -> np.ndarray:
        values = [self.answers[concept, item].value for item in items.tolist()]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def centred(self, attributes: AttributeJudge, terms: Mapping[str, Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """For all pairs whose concept has terms: the value less the concept's mean, and whether the item has them."""
        found: dict[str, list[tuple[int, float]]] = {}
        for (concept, item), answer in self.answers.items():
            if answer.value is not None and terms.get(concept):
                found.setdefault(concept, []).append((item, answer.value))
        if not found:
            return np.empty(0), np.empty(0, dtype=bool)
        values = [np.array([value for _, value in rows]) for rows in found.values()]
        truths = [
            attributes.has_terms(terms[concept], np.array([item for item, _ in rows]))
            for concept, rows in found.items()
        ]
        return np.concatenate([value - value.mean() for value in values]), np.concatenate(truths)

    def table(self, view: str, model: str) -> pa.Table:
        """All verdicts in the columns of VERDICTS, ordered by concept and item."""
        pairs = sorted(self.answers)
        answers = [self.answers[pair] for pair in pairs]
        return pa.table(
            {
                "concept": pa.array([concept for concept, _ in pairs], pa.string()),
                "item_idx": pa.array([item for _, item in pairs], pa.int32()),
                "judge": pa.array([self.judge] * len(pairs), pa.string()),
                "view": pa.array([view] * len(pairs), pa.string()),
                "prompt_version": pa.array([prompts.VERSION] * len(pairs), pa.string()),
                "model": pa.array([model] * len(pairs), pa.string()),
                "value": pa.array([answer.value for answer in answers], pa.float64()),
                "status": pa.array([answer.status for answer in answers], pa.string()),
            }
        )


class AttributeJudge:
    """Which items have all terms of a concept. Items are cached per concept."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._columns = vocabulary.item_terms.tocsc()
        self._items: dict[tuple[str, ...], np.ndarray] = {}

    def items(self, terms: Sequence[str]) -> np.ndarray:
        """All items that have the terms, ascending. Raises KeyError for a term missing from the vocabulary."""
        key = tuple(terms)
        if key not in self._items:
            indices, starts = self._columns.indices, self._columns.indptr
            found, *others = (
                indices[starts[column] : starts[column + 1]] for column in self.vocabulary.columns(list(terms))
            )
            for other in others:
                found = np.intersect1d(found, other, assume_unique=True)
            self._items[key] = found
        return self._items[key]

    def has_terms(self, terms: Sequence[str], items: np.ndarray) -> np.ndarray:
        """Whether each item has all the terms, `(items,)`."""
        return in_sorted(self.items(terms), items)


def in_sorted(known: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Whether each item is in `known`, which is sorted; faster than `np.isin`, which sorts both on every call."""
    if not len(known):
        return np.zeros(len(items), dtype=bool)
    position = np.searchsorted(known, items)
    return np.asarray(known[np.minimum(position, len(known) - 1)] == items)
