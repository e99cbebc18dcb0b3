"""Prepares a line chart of one metric over a swept setting: its lines and their styles; plots.py draws it.

The x axis is logarithmic, because widths, k and L1 weights are varied by factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

STYLES = 6
"""Number of colours in the style sheet; with seven marks, forty-two lines can be distinguished."""
MARKS = (
    "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0Z",
    "M0-7.5 7.5 0 0 7.5-7.5 0Z",
    "M-5.5-5.5h11v11h-11Z",
    "M0-7 7 5.5H-7Z",
    "M0 7 7-5.5H-7Z",
    "M-2.2-6.5h4.4v4.3h4.3v4.4H2.2v4.3h-4.4V2.2h-4.3v-4.4h4.3Z",
    "M-6.5-3.2h13v6.4h-13Z",
)
"""SVG paths around the origin: circle, diamond, square, two triangles, cross, bar."""


class Series(NamedTuple):
    """One line: points `(x, y)` in any order, with x > 0. A missing y breaks the line."""

    label: str
    points: Sequence[tuple[float, float | None]]


class Level(NamedTuple):
    """A value that the sweep does not vary, drawn as a horizontal line."""

    label: str
    value: float | None


class Point(NamedTuple):
    at: float
    y: float | None

    @property
    def x(self) -> str:
        return _number(self.at)


class Line(NamedTuple):
    """One series. `style` is a number below STYLES, `mark` an SVG path around the origin."""

    label: str
    style: int
    mark: str
    points: tuple[Point, ...]
    """By x."""


class LevelLine(NamedTuple):
    label: str
    value: float


class Curves(NamedTuple):
    title: str
    description: str
    """The chart in words."""
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    levels: tuple[LevelLine, ...]


def curves(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, levels: Sequence[Level] = ()
) -> Curves | None:
    """The chart, or None if there is no point to draw.

    Points with x <= 0 are left out; a missing or non-finite y stays in `points` and breaks the line.
    """
    lines = tuple(
        Line(one.label, number % STYLES, MARKS[number % len(MARKS)], _points(one)) for number, one in enumerate(series)
    )
    values = [point.y for line in lines for point in line.points if point.y is not None]
    if not values:
        return None
    return Curves(
        title,
        _described(x_label, y_label, lines, values),
        x_label,
        y_label,
        lines,
        tuple(LevelLine(one.label, one.value) for one in levels if one.value is not None and math.isfinite(one.value)),
    )


def _points(series: Series) -> tuple[Point, ...]:
    points = (
        Point(x, y if y is not None and math.isfinite(y) else None)
        for x, y in series.points
        if math.isfinite(x) and x > 0
    )
    return tuple(sorted(points, key=lambda point: point.at))


def _described(x_label: str, y_label: str, lines: Sequence[Line], values: Sequence[float]) -> str:
    places = sorted({point.at for line in lines for point in line.points})
    over = f"from {_number(places[0])} to {_number(places[-1])}" if len(places) > 1 else _number(places[0])
    return (
        f"{y_label} over {x_label} {over}: {len(lines)} line{'s' * (len(lines) > 1)}, "
        f"from {min(values):.3f} to {max(values):.3f}. The numbers are in the table below."
    )


def _number(x: float) -> str:
    return f"{x:,.0f}" if x == round(x) else f"{x:g}"
