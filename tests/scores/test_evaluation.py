"""Each judge's predictions of a concept on a latent's cases."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.concepts.finalists import Finalist
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.evidence.cases import JudgedCases
from recsae.labels.judges import AttributeJudge, LlmJudge
from recsae.llm.pool import Completion
from recsae.scores.evaluation import EvalSet, centre_of, predict_by_attributes, predict_by_llm, score_row
from recsae.stats import classification
from recsae.store.run_store import Committed
from tests.concepts.worlds import items_by_concept


def cases(*items: int) -> JudgedCases:
    return JudgedCases(np.array(items, dtype=np.int64), np.array(items, dtype=np.int64))


def eval_set(
    active: JudgedCases,
    non_activating: JudgedCases,
    near: JudgedCases | None = None,
    direction: JudgedCases | None = None,
) -> EvalSet:
    return EvalSet(active, non_activating, near or cases(), direction or cases())


def llm_with(ingested: Committed, values: dict[int, float | None], concept: str = "C") -> LlmJudge:
    found = LlmJudge("pmi", Catalogue.read(ingested))
    found.answers = {
        (concept, item): Completion(None, value, "ok" if value is not None else "too_long", 1)
        for item, value in values.items()
    }
    return found


def test_the_centre_is_the_midpoint_of_both_medians(ingested: Committed) -> None:
    llm = llm_with(ingested, {0: 1.0, 1: 3.0, 2: None, 3: -4.0, 4: None, 5: -90.0})
    assert centre_of(llm, "C", eval_set(cases(0, 1, 2), cases(3, 4))) == pytest.approx((2 - 4) / 2)
    assert centre_of(llm, "C", eval_set(cases(0, 1, 5), cases(3, 4))) == pytest.approx((1 - 4) / 2)
    assert centre_of(llm, "C", eval_set(cases(2), cases(3))) is None
    assert centre_of(llm, "C", eval_set(cases(0), cases())) is None


def test_counts_by_hand_and_a_failed_verdict_drops_its_case(ingested: Committed) -> None:
    vocabulary = terms.build(Catalogue.read(ingested))
    first, second = items_by_concept(ingested)[:2]
    values: dict[int, float | None] = {int(item): 1.0 for item in first} | {int(item): -1.0 for item in second}
    values[int(first[0])], values[int(first[1])], values[int(second[0])] = None, -3.0, 2.0
    genre = vocabulary.terms[int(vocabulary.item_terms[first].sum(axis=0).argmax())]
    near, direction = cases(second[0], second[1], first[0]), cases(first[2], first[3], second[0], second[1])
    evaluated = eval_set(cases(*first[:6]), cases(*second[:5]), near, direction)
    prediction = predict_by_llm(llm_with(ingested, values), "C", evaluated, 0.0)
    model = score_row(Finalist(0, 0, "C", [genre]), "score", "none", prediction, (0.5, 0.9))
    # Active: one failed, one false negative, four right. Non-activating: one false positive, four right.
    assert {name: model[name] for name in ("tp", "fp", "tn", "fn")} == {"tp": 4, "fp": 1, "tn": 4, "fn": 1}
    assert model["confidence"] == pytest.approx(0.8) and model["centre"] == 0
    assert model["near_miss_rate"] == 1 / 2 and model["near_direction_rate"] == 3 / 4
    assert (model["lower"], model["upper"], model["judge"]) == (0.5, 0.9, "llm")
    by_terms = predict_by_attributes(AttributeJudge(vocabulary), [genre], evaluated)
    attributes = score_row(Finalist(0, 0, "C", [genre]), "score", "none", by_terms, None)
    assert (attributes["tp"], attributes["fp"], attributes["tn"], attributes["fn"]) == (6, 0, 5, 0)
    assert attributes["near_miss_rate"] == pytest.approx(1 / 3) and attributes["near_direction_rate"] == 1 / 2
    assert attributes["centre"] is None and attributes["auc"] == 1 and attributes["lower"] is None


def test_a_value_at_the_centre_is_not_above_it(ingested: Committed) -> None:
    prediction = predict_by_llm(llm_with(ingested, {0: 1.0, 1: 1.0}), "C", eval_set(cases(0), cases(1)), 1.0)
    assert classification.count(prediction.predicted, prediction.active) == classification.ConfusionCounts(
        tp=0, fp=0, tn=1, fn=1
    )


def test_rows_are_plain_values(ingested: Committed) -> None:
    """Missing values go to Arrow as null, not as NaN."""
    llm = llm_with(ingested, {0: None, 1: None})
    prediction = predict_by_llm(llm, "C", eval_set(cases(0), cases(1), cases(0)), 0.0)
    found = score_row(Finalist(0, 0, "C", []), "score", "none", prediction, None)
    nulls = ("precision", "recall", "f1", "auc", "confidence", "lower", "upper", "near_miss_rate")
    assert [found[name] for name in (*nulls, "near_direction_rate")] == [None] * (len(nulls) + 1)
