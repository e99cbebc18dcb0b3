"""Evaluates a concept on the evidence of a latent: the cases, the prediction of each judge, and the row of SCORES."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from recsae.concepts.finalists import Finalist
from recsae.evidence.cases import JudgedCases, LatentCases
from recsae.labels.judges import AttributeJudge, LlmJudge
from recsae.schemas.base import NEAR_DIRECTION, NEAR_MISS
from recsae.stats import classification


class EvalSet(NamedTuple):
    """Cases of one latent and part: active, non-activating, and two kinds of hard negatives."""

    active: JudgedCases
    non_activating: JudgedCases
    hard_negative: JudgedCases
    near_direction: JudgedCases

    @staticmethod
    def from_cases(cases: LatentCases, part: str, count: int) -> EvalSet:
        """Up to `count` active and as many non-activating cases; hard negatives only for the part `score`."""
        near = [
            cases.of_role(part, role) if part == "score" else JudgedCases.empty()
            for role in (NEAR_MISS, NEAR_DIRECTION)
        ]
        return EvalSet(cases.active(part, count), cases.non_activating(part, count), *near)

    def items(self) -> np.ndarray:
        return np.concatenate([cases.item for cases in self])


class Prediction(NamedTuple):
    """The answers of one judge on one evaluation set, `(cases,)` each; cases without an answer are left out."""

    judge: str
    centre: float | None
    """Threshold: a value above it predicts active."""
    predicted: np.ndarray
    """Whether the judge finds the concept in the case's item."""
    active: np.ndarray
    user: np.ndarray
    value: np.ndarray
    hard_negative: np.ndarray
    near_direction: np.ndarray


def centre_of(llm: LlmJudge, concept: str, eval_set: EvalSet) -> float | None:
    """The midpoint between the median values of active and non-activating cases; None if either has no value.

    Medians, because a few active cases that do not fit the concept would pull a mean towards the non-activating ones.
    """
    active = llm.values(concept, eval_set.active.item)
    inactive = llm.values(concept, eval_set.non_activating.item)
    active, inactive = active[~np.isnan(active)], inactive[~np.isnan(inactive)]
    return float((np.median(active) + np.median(inactive)) / 2) if len(active) and len(inactive) else None


def predict_by_llm(llm: LlmJudge, concept: str, eval_set: EvalSet, centre: float) -> Prediction:
    """The language model's prediction: active if its value is above the centre. Failed cases are left out."""
    item, user, active = _cases(eval_set)
    value = llm.values(concept, item)
    answered = ~np.isnan(value)

    def above(cases: JudgedCases) -> np.ndarray:
        values = llm.values(concept, cases.item)
        return np.asarray(values[~np.isnan(values)] > centre)

    return Prediction(
        "llm",
        centre,
        value[answered] > centre,
        active[answered],
        user[answered],
        value[answered],
        above(eval_set.hard_negative),
        above(eval_set.near_direction),
    )


def predict_by_attributes(attributes: AttributeJudge, terms: list[str], eval_set: EvalSet) -> Prediction:
    """The catalogue's prediction: active if the item has all terms."""
    item, user, active = _cases(eval_set)
    predicted = attributes.has_terms(terms, item)
    hard_negative, near_direction = (
        attributes.has_terms(terms, near.item) for near in (eval_set.hard_negative, eval_set.near_direction)
    )
    return Prediction(
        "attributes", None, predicted, active, user, predicted.astype(np.float64), hard_negative, near_direction
    )


def auc_with_error(prediction: Prediction) -> tuple[float | None, float]:
    """The AUC of a prediction and its standard error."""
    value = classification.auc(prediction.value, prediction.active)
    if value is None:
        return None, 0.0
    return value, classification.auc_error(value, int(prediction.active.sum()), int((~prediction.active).sum()))


def _cases(eval_set: EvalSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    item = np.concatenate([eval_set.active.item, eval_set.non_activating.item])
    user = np.concatenate([eval_set.active.user, eval_set.non_activating.user])
    return item, user, np.arange(len(item)) < len(eval_set.active.item)


def score_row(
    finalist: Finalist, part: str, control: str, prediction: Prediction, bounds: tuple[float, float] | None
) -> dict[str, Any]:
    """One row of SCORES; unmeasured columns are None. `bounds` is the interval of the confidence."""
    counts = classification.count(prediction.predicted, prediction.active)
    return {
        **key_columns(finalist, part, prediction.judge, control),
        **counts.columns(),
        "auc": classification.auc(prediction.value, prediction.active),
        "lower": bounds[0] if bounds else None,
        "upper": bounds[1] if bounds else None,
        "centre": prediction.centre,
        "near_miss_rate": _rate(prediction.hard_negative),
        "near_direction_rate": _rate(prediction.near_direction),
    }


def key_columns(finalist: Finalist, part: str, judge: str, control: str) -> dict[str, Any]:
    """The columns of SCORES that identify a row: concept, part, judge and control."""
    return {
        "latent": finalist.latent,
        "candidate": finalist.candidate,
        "concept": finalist.concept,
        "part": part,
        "judge": judge,
        "control": control,
    }


def _rate(predicted: np.ndarray) -> float | None:
    return float(predicted.mean()) if len(predicted) else None
