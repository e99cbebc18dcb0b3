"""Calibration as a picture: the confidence told beforehand against the share of right answers, and where each bin of
latents stands.

It knows numbers and pixels; the template draws them and the style sheet colours them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recsae.report.formats import number
from recsae.report.histogram import Tick

WIDTH, HEIGHT = 460, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 60
SMALLEST, LARGEST = 4, 14
"""Radius of a bin's dot, whose area grows with its latents."""


class Bin(NamedTuple):
    expected: float
    right: float
    latents: int
    """Counted once for either half of their users."""
    at_x: float
    at_y: float
    radius: float


class Calibration(NamedTuple):
    """All that the template prints, in pixels of a view box of `width` by `height`."""

    error: float
    bins: tuple[Bin, ...]
    diagonal: str
    """SVG path on which a bin lies whose confidence holds."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def calibration(error: Any, bins: Sequence[Mapping[str, Any]]) -> Calibration | None:
    """The picture of what the stage measured; None where it could not, for want of latents.

    A bin without a latent, or with a figure that is not a number in [0, 1], is left out.
    """
    known = []
    for one in bins:
        expected, right, latents = (number(one.get(name)) for name in ("expected", "right", "latents"))
        if expected is not None and right is not None and latents and 0 <= expected <= 1 and 0 <= right <= 1:
            known.append((expected, right, round(latents)))
    measured = number(error)
    if measured is None or not known:
        return None
    # Latents gather in the upper half: from 0 the bins would lie on top of each other.
    low = min(0.5, *(math.floor(10 * value) / 10 for expected, right, _ in known for value in (expected, right)))
    most = max(latents for *_, latents in known)
    rungs = [round(low + step / 10, 1) for step in range(round(10 * (1 - low)) + 1)]

    def at_x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (1 - low), 2)

    def at_y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value) / (1 - low), 2)

    def radius(latents: int) -> float:
        return round(SMALLEST + (LARGEST - SMALLEST) * math.sqrt(latents / most), 2)

    return Calibration(
        measured,
        tuple(
            Bin(expected, right, latents, at_x(expected), at_y(right), radius(latents))
            for expected, right, latents in sorted(known)
        ),
        f"M{at_x(low)} {at_y(low)}L{at_x(1)} {at_y(1)}",
        tuple(Tick(at_x(value), f"{value:g}") for value in rungs),
        tuple(Tick(at_y(value), f"{value:g}") for value in rungs),
    )
