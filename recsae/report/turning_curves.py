"""Small pictures of what turning concepts buys and costs: the share of the top 10 against the change of NDCG@10, one
picture a concept, all over the same range of NDCG.

A line goes from the clean model through the strengths that turn up. It knows numbers and pixels; the template draws
them and the style sheet colours them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from recsae.report.curves import rungs
from recsae.report.formats import fine_share, signed_share
from recsae.report.histogram import Tick
from recsae.report.turned import Step

WIDTH, HEIGHT = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 34, 52
WORST = -0.4
"""A model that hits so much less is broken; what lies beyond is in the table, and would squeeze all else."""


class Turn(NamedTuple):
    """One concept and the latent that is shown for it."""

    concept: str
    latent: int
    clean: float
    wished: float | None
    steps: tuple[Step, ...]
    """Strengths ascending; taken out at the end."""


class Dot(NamedTuple):
    at_x: float
    at_y: float
    told: str


class Picture(NamedTuple):
    """All that the template prints, in pixels of a view box of `width` by `height`."""

    turn: Turn
    described: str
    """The picture in words."""
    latent: str
    """SVG path; empty where no strength is within the picture."""
    latent_dots: tuple[Dot, ...]
    probe: str
    probe_dots: tuple[Dot, ...]
    chance: str
    """SVG path around what nine of ten random directions do."""
    chance_mean: str
    clean: Dot
    wished_at: float | None
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


class _Place(NamedTuple):
    """A point before it has pixels: change of NDCG, share, and the strength."""

    ndcg: float
    share: float
    strength: float


Way = Callable[[Step], tuple[float | None, float | None]]
"""What of a step is drawn: a change of NDCG and a share."""
_WAYS: dict[str, Way] = {
    "latent": lambda step: (step.ndcg, step.share),
    "probe": lambda step: (step.probe_ndcg, step.probe),
    "mean": lambda step: (step.null_ndcg, step.null_mean),
    "upper": lambda step: (step.null_ndcg, step.null_upper),
    "lower": lambda step: (step.null_ndcg, step.null_lower),
}


def pictures(turns: Sequence[Turn]) -> tuple[Picture, ...]:
    """One for each concept whose latent has a point to draw."""
    drawn = [(turn, {name: _places(turn, way) for name, way in _WAYS.items()}) for turn in turns]
    drawn = [(turn, places) for turn, places in drawn if places["latent"]]
    changes = [place.ndcg for _, places in drawn for some in places.values() for place in some]
    return tuple(_picture(turn, places, [0.0, *changes]) for turn, places in drawn)


def _places(turn: Turn, way: Way) -> list[_Place]:
    """Of the strengths that turn up; those beyond the picture are left out."""
    found = []
    for step in turn.steps:
        if step.strength is not None and step.strength > 0:
            ndcg, of = way(step)
            if ndcg is not None and of is not None and ndcg >= WORST and math.isfinite(of):
                found.append(_Place(ndcg, of, step.strength))
    return found


def _picture(turn: Turn, places: Mapping[str, list[_Place]], changes: Sequence[float]) -> Picture:
    wished = [] if turn.wished is None else [turn.wished]
    shares = [0.0, turn.clean, *wished, *(place.share for some in places.values() for place in some)]
    across, x_digits = rungs([100 * change for change in changes])
    upwards, y_digits = rungs([100 * one for one in shares])

    def at_x(ndcg: float) -> float:
        part = (100 * ndcg - across[0]) / (across[-1] - across[0])
        return round(LEFT + (WIDTH - LEFT - RIGHT) * part, 2)

    def at_y(of: float) -> float:
        part = (100 * of - upwards[0]) / (upwards[-1] - upwards[0])
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - part), 2)

    def path(some: Sequence[_Place]) -> str:
        """From the clean model on."""
        joined = "".join(f"L{at_x(place.ndcg)} {at_y(place.share)}" for place in some)
        return f"M{at_x(0)} {at_y(turn.clean)}{joined}" if some else ""

    def dots(some: Sequence[_Place], label: str) -> tuple[Dot, ...]:
        return tuple(Dot(at_x(one.ndcg), at_y(one.share), f"{label}, {_told(one)}") for one in some)

    # An outline that goes by NDCG crosses itself nowhere, even where a longer push costs less than a shorter one.
    upper, lower, mean = (sorted(places[name], reverse=True) for name in ("upper", "lower", "mean"))
    return Picture(
        turn=turn,
        described=_described(turn, places),
        latent=path(places["latent"]),
        latent_dots=dots(places["latent"], f"latent {turn.latent}"),
        probe=path(places["probe"]),
        probe_dots=dots(places["probe"], "probe"),
        chance=path([*upper, *reversed(lower)]) + "Z" if upper and len(upper) == len(lower) else "",
        chance_mean=path(mean),
        clean=Dot(at_x(0), at_y(turn.clean), f"the model as it is: share {fine_share(turn.clean)}"),
        wished_at=None if turn.wished is None else at_y(turn.wished),
        x_ticks=tuple(Tick(at_x(value / 100), _percent(value, x_digits)) for value in across),
        y_ticks=tuple(Tick(at_y(value / 100), _percent(value, y_digits)) for value in upwards),
    )


def _told(one: _Place) -> str:
    return f"turned up by {one.strength:g}: share {fine_share(one.share)}, NDCG@10 {signed_share(one.ndcg)}"


def _percent(value: float, digits: int) -> str:
    return f"{value:.{digits}f}\u00a0%".replace("-", "\u2212")


def _described(turn: Turn, places: Mapping[str, list[_Place]]) -> str:
    ends = []
    for name, label in (("latent", f"latent {turn.latent}"), ("probe", "the linear probe"), ("mean", "chance")):
        if places[name]:
            last = places[name][-1]
            ends.append(f"{label} to {fine_share(last.share)}, NDCG@10 {signed_share(last.ndcg)}")
    return f"From {fine_share(turn.clean)} of the top 10, {'; '.join(ends)}. The numbers are in the table below."
