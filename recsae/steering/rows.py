"""Rows of the table `steering`, from sums over cases: changes against the clean model, intervals, nulls.

Shape suffixes: see effects.py and interventions.py; L latents,
R random directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from recsae.stats.bootstrap import interval
from recsae.steering.effects import Effects
from recsae.steering.interventions import InterventionPlan
from recsae.steering.operations import Operation

NULL = (5, 95)
"""Percentiles of the null that are reported."""


class SteeredLatent(NamedTuple):
    """One latent, and which of the concepts it stands for."""

    latent: int
    concept: int


class Figures:
    """Effects as shares and means; index 0 of E is the clean model."""

    def __init__(self, effects: Effects, plan: InterventionPlan, concepts: int) -> None:
        self.effects, self.plan = effects, plan
        places, cases = max(effects.places, 1), max(effects.cases, 1)
        self.share_EC = effects.hits_EC / places
        self.ndcg_E = effects.gain_E / cases
        self.hr_E = effects.hr_E / cases
        self.coverage_E = np.bitwise_count(effects.covered_EI).sum(1)
        self.popularity_E = effects.popularity_E / places
        cases_S, places_S, rest_SX = (
            effects.reported_SX[1:, :1],
            effects.reported_SX[1:, 1:2],
            effects.reported_SX[1:, 2:],
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            self._clean_SC = rest_SX[:, :concepts] / places_S
            self._own_ST = rest_SX[:, concepts : concepts + plan.reported] / places_S
            self._ndcg_SE = rest_SX[:, concepts + plan.reported :] / cases_S

    def change(self, intervention: int | np.ndarray, concept: int) -> Any:
        """Of the concept's share, by one intervention or several."""
        return self.share_EC[1 + np.asarray(intervention), concept] - self.share_EC[0, concept]

    def share_interval(self, intervention: int, concept: int) -> list[float]:
        return interval(self._own_ST[:, intervention] - self._clean_SC[:, concept])

    def ndcg_interval(self, intervention: int) -> list[float]:
        return interval(self._ndcg_SE[:, 1 + intervention] - self._ndcg_SE[:, 0])


def steering_rows(
    part: str, figures: Figures, steered: Sequence[SteeredLatent], names: Sequence[str], items: int, operation: Any
) -> list[dict[str, Any]]:
    """STEERING of one part. `names`: of all concepts; `operation(latent, strength)`: how a latent is steered."""
    plan, rows = figures.plan, []
    for place, one in enumerate(steered):
        for at, strength in enumerate(plan.strengths):
            done = operation(one.latent, strength)
            probe = None if plan.probe_CS is None else int(plan.probe_CS[one.concept, at])
            rows.append(
                {
                    **_row(part, figures, one, int(plan.steer_LS[place, at]), plan.null_LSR[place, at], names, items),
                    "operation": done.kind,
                    "strength": strength,
                    "value": done.value,
                    "probe_share_change": None if probe is None else figures.change(probe, one.concept),
                    "probe_ndcg_change": None if probe is None else figures.ndcg_E[1 + probe] - figures.ndcg_E[0],
                }
            )
        intervention, null_R = int(plan.ablate_L[place]), plan.null_ablate_LR[place]
        rows.append(
            {
                **_row(part, figures, one, intervention, null_R, names, items),
                "operation": Operation(one.latent, "ablate").kind,
                "strength": None,
                "value": 0.0,
                "probe_share_change": None,
                "probe_ndcg_change": None,
            }
        )
    return rows


def _row(
    part: str,
    figures: Figures,
    one: SteeredLatent,
    intervention: int,
    null_R: np.ndarray,
    names: Sequence[str],
    items: int,
) -> dict[str, Any]:
    change_C = figures.share_EC[1 + intervention] - figures.share_EC[0]
    null_change_R = figures.change(null_R, one.concept)
    lower, upper = figures.share_interval(intervention, one.concept)
    ndcg_lower, ndcg_upper = figures.ndcg_interval(intervention)
    null_lower, null_upper = np.percentile(null_change_R, NULL)
    others = np.flatnonzero(np.arange(len(change_C)) != one.concept)
    most = others[np.abs(change_C[others]).argmax()] if len(others) else None
    return {
        "part": part,
        "latent": one.latent,
        "concept": names[one.concept],
        "users": figures.effects.users,
        "cases": figures.effects.cases,
        "share": figures.share_EC[1 + intervention, one.concept],
        "share_change": change_C[one.concept],
        "share_lower": lower,
        "share_upper": upper,
        "null_mean": null_change_R.mean(),
        "null_lower": null_lower,
        "null_upper": null_upper,
        "null_ndcg_change": figures.ndcg_E[1 + null_R].mean() - figures.ndcg_E[0],
        "ndcg": figures.ndcg_E[1 + intervention],
        "ndcg_change": figures.ndcg_E[1 + intervention] - figures.ndcg_E[0],
        "ndcg_lower": ndcg_lower,
        "ndcg_upper": ndcg_upper,
        "hr": figures.hr_E[1 + intervention],
        "coverage": figures.coverage_E[1 + intervention] / items,
        "popularity": figures.popularity_E[1 + intervention],
        "side_effect": np.abs(change_C[others]).mean() if len(others) else 0.0,
        "side_concept": None if most is None else names[most],
        "side_change": None if most is None else change_C[most],
    }
