"""Prepares the small charts of the trade-off of steering: share of the top 10 against the change of NDCG@10.

One chart per concept, all with the same NDCG range. A line goes from the clean model through the positive strengths.
plots.py draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from recsae.report.steering_steps import SteeringStep
from recsae.text.formatting import fine_share, signed_share

MAX_DRAWN_LOSS = -0.4
"""Largest loss of NDCG@10 that is drawn. Points beyond would compress the chart; the table has them."""


class SteeredConcept(NamedTuple):
    """One concept and the latent shown for it."""

    concept: str
    latent: int
    clean: float
    target_share: float | None
    steps: tuple[SteeringStep, ...]
    """By ascending strength; ablation last."""


class CurvePoint(NamedTuple):
    """A point of a curve: change of NDCG, share, and strength."""

    ndcg: float
    share: float
    strength: float

    @property
    def tooltip(self) -> str:
        return f"strength {self.strength:g}: share {fine_share(self.share)}, NDCG@10 {signed_share(self.ndcg)}"


class Chance(NamedTuple):
    """The effect of random directions of one strength: their mean, and the range of nine in ten."""

    ndcg: float
    mean: float
    lower: float
    upper: float


class Picture(NamedTuple):
    steered: SteeredConcept
    description: str
    """The chart in words."""
    latent: tuple[CurvePoint, ...]
    probe: tuple[CurvePoint, ...]
    chance: tuple[Chance, ...]
    reach: tuple[float, float]
    """The NDCG range of all charts, from the largest loss to the best."""

    @property
    def clean(self) -> str:
        return f"the unchanged model: share {fine_share(self.steered.clean)}"


PointOf = Callable[[SteeringStep], tuple[float | None, float | None]]
"""The change of NDCG and the share of a step that one curve shows."""


def pictures(concepts: Sequence[SteeredConcept]) -> tuple[Picture, ...]:
    """One chart per concept whose latent has a point to draw."""
    found = []
    for steered in concepts:
        latent = _places(steered, lambda step: (step.ndcg, step.share))
        probe = _places(steered, lambda step: (step.probe_ndcg, step.probe))
        chance = _chance(steered)
        if latent:
            found.append(Picture(steered, _described(steered, latent, probe, chance), latent, probe, chance, (0, 0)))
    changes = [0.0, *(one.ndcg for made in found for one in made.latent + made.probe)]
    changes += [one.ndcg for made in found for one in made.chance]
    reach = (min(changes), max(changes)) if any(changes) else (MAX_DRAWN_LOSS / 4, 0.0)
    return tuple(made._replace(reach=reach) for made in found)


def _places(steered: SteeredConcept, point_of: PointOf) -> tuple[CurvePoint, ...]:
    """The points of the positive strengths; those beyond the chart are left out."""
    found = []
    for step in steered.steps:
        ndcg, of = point_of(step)
        if step.strength is not None and step.strength > 0 and ndcg is not None and of is not None:
            found.append(CurvePoint(ndcg, of, step.strength))
    return tuple(one for one in found if one.ndcg >= MAX_DRAWN_LOSS and math.isfinite(one.share))


def _chance(steered: SteeredConcept) -> tuple[Chance, ...]:
    bands: tuple[PointOf, ...] = (
        lambda step: (step.null_ndcg, step.null_mean),
        lambda step: (step.null_ndcg, step.null_lower),
        lambda step: (step.null_ndcg, step.null_upper),
    )
    mean, *sides = ({one.strength: one for one in _places(steered, point_of)} for point_of in bands)
    lower, upper = sides
    return tuple(
        Chance(one.ndcg, one.share, lower[strength].share, upper[strength].share)
        for strength, one in mean.items()
        if strength in lower and strength in upper
    )


def _described(
    steered: SteeredConcept, latent: Sequence[CurvePoint], probe: Sequence[CurvePoint], chance: Sequence[Chance]
) -> str:
    ends = [(f"latent {steered.latent}", latent[-1].share, latent[-1].ndcg)]
    ends += [("the linear probe", one.share, one.ndcg) for one in probe[-1:]]
    ends += [("chance", one.mean, one.ndcg) for one in chance[-1:]]
    steps = "; ".join(f"{label} to {fine_share(of)}, NDCG@10 {signed_share(ndcg)}" for label, of, ndcg in ends)
    return f"From {fine_share(steered.clean)} of the top 10, {steps}. The numbers are in the table below."
