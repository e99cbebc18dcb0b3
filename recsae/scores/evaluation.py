"""A concept before the evidence of a latent: the cases, what each judge says of them, and the row of figures.

It knows concepts and cases, and neither how verdicts were asked for nor which finalist is chosen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from recsae.concepts.finalists import Finalist
from recsae.evidence.cases import Judged, LatentCases
from recsae.schemas.base import NEAR_DIRECTION, NEAR_MISS
from recsae.scores.judges import AttributeJudge, LlmJudge
from recsae.stats import classification


class EvalSet(NamedTuple):
    """Cases of one latent and part: active ones, silent ones, and two kinds that are silent but close."""

    active: Judged
    silent: Judged
    near_miss: Judged
    near_direction: Judged

    @staticmethod
    def of(cases: LatentCases, part: str, count: int) -> EvalSet:
        """Up to `count` active cases and as many silent ones; close ones only of score users, who report them."""
        near = [
            cases.of_role(part, role) if part == "score" else Judged.nobody() for role in (NEAR_MISS, NEAR_DIRECTION)
        ]
        return EvalSet(cases.active(part, count), cases.silent(part, count), *near)

    def items(self) -> np.ndarray:
        return np.concatenate([judged.item for judged in self])


class Prediction(NamedTuple):
    """What one judge said in one trial; `(cases,)` each, of the cases that got an answer."""

    judge: str
    centre: float | None
    """Above which a value says active."""
    judged: np.ndarray
    """Whether the concept was seen in the case's item."""
    active: np.ndarray
    user: np.ndarray
    value: np.ndarray
    near_miss: np.ndarray
    near_direction: np.ndarray


def centre_of(verdicts: LlmJudge, concept: str, trial: EvalSet) -> float | None:
    """The midpoint of the median values of active and of silent cases; None where either have none.

    Of medians, because a few active cases that the concept does not fit would draw a mean to the silent ones.
    """
    active, silent = verdicts.values(concept, trial.active.item), verdicts.values(concept, trial.silent.item)
    active, silent = active[~np.isnan(active)], silent[~np.isnan(silent)]
    return float((np.median(active) + np.median(silent)) / 2) if len(active) and len(silent) else None


def by_model(verdicts: LlmJudge, concept: str, trial: EvalSet, centre: float) -> Prediction:
    """The language model's: a value above the centre says active. A case whose verdict failed is left out."""
    item, user, active = _cases(trial)
    value = verdicts.values(concept, item)
    told = ~np.isnan(value)

    def above(near: Judged) -> np.ndarray:
        of_near = verdicts.values(concept, near.item)
        return np.asarray(of_near[~np.isnan(of_near)] > centre)

    return Prediction(
        "llm",
        centre,
        value[told] > centre,
        active[told],
        user[told],
        value[told],
        above(trial.near_miss),
        above(trial.near_direction),
    )


def by_attributes(bearing: AttributeJudge, terms: list[str], trial: EvalSet) -> Prediction:
    """The catalogue's: an item that bears all terms is active."""
    item, user, active = _cases(trial)
    borne = bearing.of(terms, item)
    near_miss, near_direction = (bearing.of(terms, near.item) for near in (trial.near_miss, trial.near_direction))
    return Prediction("attributes", None, borne, active, user, borne.astype(np.float64), near_miss, near_direction)


def sureness(ruling: Prediction) -> tuple[float | None, float]:
    """The AUC of a ruling and its standard error."""
    value = classification.auc(ruling.value, ruling.active)
    if value is None:
        return None, 0.0
    return value, classification.auc_error(value, int(ruling.active.sum()), int((~ruling.active).sum()))


def _cases(trial: EvalSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    item = np.concatenate([trial.active.item, trial.silent.item])
    user = np.concatenate([trial.active.user, trial.silent.user])
    return item, user, np.arange(len(item)) < len(trial.active.item)


def row(
    finalist: Finalist, part: str, control: str, ruling: Prediction, bounds: tuple[float, float] | None
) -> dict[str, Any]:
    """One row of SCORES; what was not measured is None. `bounds` are of the confidence."""
    counts = classification.count(ruling.judged, ruling.active)
    return {
        **names(finalist, part, ruling.judge, control),
        **figures(counts),
        "auc": classification.auc(ruling.value, ruling.active),
        "lower": bounds[0] if bounds else None,
        "upper": bounds[1] if bounds else None,
        "centre": ruling.centre,
        "near_miss_rate": _rate(ruling.near_miss),
        "near_direction_rate": _rate(ruling.near_direction),
    }


def names(finalist: Finalist, part: str, judge: str, control: str) -> dict[str, Any]:
    """The columns of SCORES that say what was judged, by whom, on whose cases."""
    return {
        "latent": finalist.latent,
        "candidate": finalist.candidate,
        "concept": finalist.concept,
        "part": part,
        "judge": judge,
        "control": control,
    }


def figures(counts: classification.ConfusionCounts) -> dict[str, Any]:
    """The columns of SCORES that counts alone decide."""
    return {
        **counts._asdict(),
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "confidence": counts.confidence,
    }


def _rate(judged: np.ndarray) -> float | None:
    return float(judged.mean()) if len(judged) else None
