"""Does an item bear a concept? Two judges: the language model, and the catalogue's own terms.

The language model is asked once for each unique (concept text, item); all latents and controls share the verdict. Its
value is a log-likelihood of the concept given the item (`pmi`: what centring by concept leaves of it is the pointwise
mutual information) or the log-odds of Yes against No (`yes_no`). It knows concepts and items, and no latents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.labels import prompts
from recsae.llm.pool import Completion, Request
from recsae.stats.classification import auc

Pair = tuple[str, int]
"""A concept's text and an item."""


class LlmJudge:
    """The language model's values of all pairs asked so far; NaN where a row failed."""

    def __init__(self, judge: str, catalogue: Catalogue) -> None:
        self.judge = judge
        self.catalogue = catalogue
        self.answers: dict[Pair, Completion] = {}

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
        told = [self.answers[concept, item].value for item in items.tolist()]
        return np.array([np.nan if value is None else value for value in told], dtype=np.float64)

    def own_auc(self, bearing: AttributeJudge, concepts: Sequence[tuple[str, list[str]]]) -> float | None:
        """The judge's AUC on pairs whose truth the attributes tell, each concept's values centred by their mean."""
        terms = dict(concepts)
        found: dict[str, list[tuple[int, float]]] = {}
        for (concept, item), answer in self.answers.items():
            if answer.value is not None and terms.get(concept):
                found.setdefault(concept, []).append((item, answer.value))
        if not found:
            return None
        values = [np.array([value for _, value in rows]) for rows in found.values()]
        truths = [bearing.of(terms[concept], np.array([item for item, _ in rows])) for concept, rows in found.items()]
        return auc(np.concatenate([value - value.mean() for value in values]), np.concatenate(truths))

    def table(self, view: str, model: str) -> pa.Table:
        """All verdicts, by concept and item, in the columns of VERDICTS."""
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
    """Which items bear all terms of a concept. The items of a concept are sought once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._columns = vocabulary.bears.tocsc()
        self._found: dict[tuple[str, ...], np.ndarray] = {}

    def items(self, terms: Sequence[str]) -> np.ndarray:
        """All items that bear the terms, ascending. Raises KeyError on a term that the vocabulary has not."""
        key = tuple(terms)
        if key not in self._found:
            indices, starts = self._columns.indices, self._columns.indptr
            first, *others = (
                indices[starts[column] : starts[column + 1]] for column in self.vocabulary.columns(list(terms))
            )
            for other in others:
                first = np.intersect1d(first, other, assume_unique=True)
            self._found[key] = first
        return self._found[key]

    def of(self, terms: Sequence[str], items: np.ndarray) -> np.ndarray:
        """Whether each of the items bears the terms, `(items,)`."""
        return among(self.items(terms), items)


def among(known: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Whether each of the items is one of `known`, which is ascending; `np.isin` sorts both each time."""
    if not len(known):
        return np.zeros(len(items), dtype=bool)
    place = np.searchsorted(known, items)
    return np.asarray(known[np.minimum(place, len(known) - 1)] == items)
