"""A histogram of confidence with the shuffled control over it: the counts, and where each bar stands in the picture.

It knows numbers and pixels; the template draws them and the style sheet colours them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Confidence over n active and n silent cases is a multiple of 1 / 2n, and n is 8, 16 or 32 in practice: sixteenths give
# every bin equally many of the possible values, where twentieths would draw a saw.
BINS = 16
WIDTH, HEIGHT = 720, 460
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 44, 64
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


@dataclass(frozen=True)
class Bin:
    """One bin [lower, upper), the last one closed; the rectangle of its concepts."""

    lower: float
    upper: float
    concepts: int
    controls: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Histogram:
    bins: tuple[Bin, ...]
    outline: str
    """SVG path of the control: a stair over the bins."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bar: Tick | None
    """What a lower bound must pass to be called interpretable."""
    concepts: int
    controls: int
    median: float | None
    median_control: float | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def histogram(confidence: Sequence[float | None], control: Sequence[float | None], bar: float | None) -> Histogram:
    """Bins over [0, 1]; nulls and values that are not finite are left out."""
    known, shuffled = _finite(confidence), _finite(control)
    counts, control_counts = _counts(known), _counts(shuffled)
    step = _step(max([*counts, *control_counts, 1]))
    ceiling = step * math.ceil(max([*counts, *control_counts, 1]) / step)

    def y(count: float) -> float:
        return round(TOP + _PLOT_HEIGHT * (1 - count / ceiling), 2)

    width = _PLOT_WIDTH / BINS
    bins = tuple(
        Bin(
            lower=index / BINS,
            upper=(index + 1) / BINS,
            concepts=count,
            controls=control_counts[index],
            x=round(_x(index / BINS) + 1, 2),
            y=y(count),
            width=round(width - 2, 2),
            height=round(y(0) - y(count), 2),
        )
        for index, count in enumerate(counts)
    )
    stair = "".join(f" L{_x(i / BINS)} {y(c)} L{_x((i + 1) / BINS)} {y(c)}" for i, c in enumerate(control_counts))
    return Histogram(
        bins=bins,
        outline=f"M{_x(0)} {y(0)}{stair} L{_x(1)} {y(0)}",
        x_ticks=tuple(Tick(_x(value), f"{value:g}") for value in (0, 0.25, 0.5, 0.75, 1)),
        y_ticks=tuple(Tick(y(count), f"{count:,}") for count in range(0, ceiling + 1, step)),
        bar=Tick(_x(bar), f"{bar:.3f}") if bar is not None and 0 <= bar <= 1 else None,
        concepts=len(known),
        controls=len(shuffled),
        median=statistics.median(known) if known else None,
        median_control=statistics.median(shuffled) if shuffled else None,
    )


def _x(value: float) -> float:
    return round(LEFT + _PLOT_WIDTH * value, 2)


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and 0 <= value <= 1]


def _counts(values: Sequence[float]) -> list[int]:
    counts = [0] * BINS
    for value in values:
        counts[min(int(value * BINS), BINS - 1)] += 1
    return counts


def _step(largest: int) -> int:
    """A round distance between the lines of the grid: at most five above the ground."""
    scale = 1
    while True:
        for step in (scale, 2 * scale, 5 * scale):
            if largest <= 5 * step:
                return step
        scale *= 10
