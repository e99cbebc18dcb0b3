"""Small pictures of what turning concepts buys and costs: the share of the top 10 against the change of NDCG@10, one
picture a concept, all over the same range of NDCG.

A line goes from the clean model through the strengths that turn up. How all looks, plots.py says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from recsae.report.steering_steps import SteeringStep
from recsae.text.formatting import fine_share, signed_share

WORST = -0.4
"""A model that hits so much less is broken; what lies beyond is in the table, and would squeeze all else."""


class SteeredConcept(NamedTuple):
    """One concept and the latent that is shown for it."""

    concept: str
    latent: int
    clean: float
    wished: float | None
    steps: tuple[SteeringStep, ...]
    """Strengths ascending; taken out at the end."""


class Place(NamedTuple):
    """A point: change of NDCG, share, and the strength."""

    ndcg: float
    share: float
    strength: float

    @property
    def told(self) -> str:
        return f"turned up by {self.strength:g}: share {fine_share(self.share)}, NDCG@10 {signed_share(self.ndcg)}"


class Chance(NamedTuple):
    """What random directions of one strength do: their mean, and between what nine of ten lie."""

    ndcg: float
    mean: float
    lower: float
    upper: float


class Picture(NamedTuple):
    turn: SteeredConcept
    described: str
    """The picture in words."""
    latent: tuple[Place, ...]
    probe: tuple[Place, ...]
    chance: tuple[Chance, ...]
    reach: tuple[float, float]
    """From the dearest change of NDCG of all pictures to the best."""

    @property
    def clean(self) -> str:
        return f"the model as it is: share {fine_share(self.turn.clean)}"


Way = Callable[[SteeringStep], tuple[float | None, float | None]]
"""What of a step is drawn: a change of NDCG and a share."""


def pictures(turns: Sequence[SteeredConcept]) -> tuple[Picture, ...]:
    """One for each concept whose latent has a point to draw."""
    found = []
    for turn in turns:
        latent = _places(turn, lambda step: (step.ndcg, step.share))
        probe = _places(turn, lambda step: (step.probe_ndcg, step.probe))
        chance = _chance(turn)
        if latent:
            found.append(Picture(turn, _described(turn, latent, probe, chance), latent, probe, chance, (0, 0)))
    changes = [0.0, *(one.ndcg for made in found for one in made.latent + made.probe)]
    changes += [one.ndcg for made in found for one in made.chance]
    reach = (min(changes), max(changes)) if any(changes) else (WORST / 4, 0.0)
    return tuple(made._replace(reach=reach) for made in found)


def _places(turn: SteeredConcept, way: Way) -> tuple[Place, ...]:
    """Of the strengths that turn up; those beyond the picture are left out."""
    found = []
    for step in turn.steps:
        ndcg, of = way(step)
        if step.strength is not None and step.strength > 0 and ndcg is not None and of is not None:
            found.append(Place(ndcg, of, step.strength))
    return tuple(one for one in found if one.ndcg >= WORST and math.isfinite(one.share))


def _chance(turn: SteeredConcept) -> tuple[Chance, ...]:
    ways: tuple[Way, ...] = (
        lambda step: (step.null_ndcg, step.null_mean),
        lambda step: (step.null_ndcg, step.null_lower),
        lambda step: (step.null_ndcg, step.null_upper),
    )
    mean, *sides = ({one.strength: one for one in _places(turn, way)} for way in ways)
    lower, upper = sides
    return tuple(
        Chance(one.ndcg, one.share, lower[strength].share, upper[strength].share)
        for strength, one in mean.items()
        if strength in lower and strength in upper
    )


def _described(turn: SteeredConcept, latent: Sequence[Place], probe: Sequence[Place], chance: Sequence[Chance]) -> str:
    ends = [(f"latent {turn.latent}", latent[-1].share, latent[-1].ndcg)]
    ends += [("the linear probe", one.share, one.ndcg) for one in probe[-1:]]
    ends += [("chance", one.mean, one.ndcg) for one in chance[-1:]]
    told = "; ".join(f"{label} to {fine_share(of)}, NDCG@10 {signed_share(ndcg)}" for label, of, ndcg in ends)
    return f"From {fine_share(turn.clean)} of the top 10, {told}. The numbers are in the table below."
