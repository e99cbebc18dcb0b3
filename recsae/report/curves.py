"""A line chart of one figure over what a sweep varied: where each point, line and tick stands in the picture.

The x axis is logarithmic: widths, k and L1 weights are chosen by factors. It knows numbers and pixels; the template
draws them and the style sheet colours them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from recsae.report.histogram import Tick

WIDTH, HEIGHT = 720, 460
LEFT, RIGHT, TOP, BOTTOM = 76, 44, 44, 64
STYLES = 6
"""Colours in the style sheet; with seven marks, lines are told apart up to forty-two."""
TICK_GAP = 84
"""Pixels that the label of a tick needs on the x axis, where letters are largest: on a narrow screen."""
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
    """One line: its points `(x, y)` in any order, with x above 0. Without a y the line is broken there."""

    label: str
    points: Sequence[tuple[float, float | None]]


class Level(NamedTuple):
    """A figure that the sweep does not vary: a line from side to side."""

    label: str
    value: float | None


class Point(NamedTuple):
    """One point: its values, and its pixels where it has a y."""

    x: str
    y: float | None
    at_x: float
    at_y: float | None


class Line(NamedTuple):
    """One series as drawn. `style` is a number below STYLES, `mark` an SVG path around the origin."""

    label: str
    style: int
    mark: str
    path: str
    """SVG path through the points; empty where no two follow each other."""
    points: tuple[Point, ...]


class LevelLine(NamedTuple):
    label: str
    value: float
    at: float


class Curves(NamedTuple):
    """All that the template prints, in pixels of a view box of `width` by `height`."""

    title: str
    described: str
    """The picture in words."""
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    levels: tuple[LevelLine, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def curves(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, levels: Sequence[Level] = ()
) -> Curves | None:
    """The chart, or None where there is no point to draw.

    An x that is not above 0 is left out; a y that is absent or not finite stays in `points` and breaks the line.
    """
    known = [(one.label, sorted(_usable(one), key=lambda point: point[0])) for one in series]
    values = [y for _, points in known for _, y in points if y is not None]
    if not values:
        return None
    beside = [(one.label, one.value) for one in levels if one.value is not None and math.isfinite(one.value)]
    places = sorted({x for _, points in known for x, _ in points})
    steps, digits = rungs([*values, *(value for _, value in beside)])
    floor, ceiling = steps[0], steps[-1]
    across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at_x(x: float) -> float:
        if len(places) == 1:
            return LEFT + across / 2
        return round(LEFT + across * math.log(x / places[0]) / math.log(places[-1] / places[0]), 2)

    def at_y(y: float) -> float:
        return round(TOP + up * (ceiling - y) / (ceiling - floor), 2)

    def line(number: int, label: str, points: Sequence[tuple[float, float | None]]) -> Line:
        drawn = tuple(Point(_number(x), y, at_x(x), None if y is None else at_y(y)) for x, y in points)
        return Line(label, number % STYLES, MARKS[number % len(MARKS)], _path(drawn), drawn)

    return Curves(
        title,
        _described(x_label, y_label, len(known), places, values),
        x_label,
        y_label,
        tuple(line(number, label, points) for number, (label, points) in enumerate(known)),
        tuple(LevelLine(label, value, at_y(value)) for label, value in beside),
        _spaced([Tick(at_x(x), _number(x)) for x in places]),
        tuple(Tick(at_y(value), f"{value:,.{digits}f}") for value in steps),
    )


def _usable(series: Series) -> list[tuple[float, float | None]]:
    return [
        (x, y if y is not None and math.isfinite(y) else None) for x, y in series.points if math.isfinite(x) and x > 0
    ]


def _path(points: Sequence[Point]) -> str:
    """Neighbours that both have a y, joined."""
    path, pen = "", None
    for one, other in itertools.pairwise(points):
        if one.at_y is not None and other.at_y is not None:
            path += f"L{other.at_x} {other.at_y}" if pen is one else f"M{one.at_x} {one.at_y}L{other.at_x} {other.at_y}"
            pen = other
    return path


def rungs(values: Sequence[float]) -> tuple[list[float], int]:
    """Round values from below the least to above the largest, at most six steps, and the digits that they need.

    They start at 0 where that costs little of the height; curves that lie close together would be flat if always.
    """
    low, high = min(values), max(values)
    if 0 <= low < high / 2:
        low = 0.0
    if high - low <= 1e-9 * max(abs(high), abs(low)):
        room = abs(high) / 10 or 0.1
        low, high = low - room, high + room
    scale = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(round_step * scale for round_step in (1, 2, 5, 10, 20) if high - low <= 5 * round_step * scale)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)], max(0, -math.floor(math.log10(step) + 1e-9))


def _spaced(ticks: Sequence[Tick]) -> tuple[Tick, ...]:
    """Those whose labels do not touch; the first and the last are kept."""
    kept = [ticks[0]]
    for tick in ticks[1:-1]:
        if tick.at - kept[-1].at >= TICK_GAP and ticks[-1].at - tick.at >= TICK_GAP:
            kept.append(tick)
    return (*kept, *ticks[1:][-1:])


def _described(x_label: str, y_label: str, lines: int, places: Sequence[float], values: Sequence[float]) -> str:
    over = f"from {_number(places[0])} to {_number(places[-1])}" if len(places) > 1 else _number(places[0])
    return (
        f"{y_label} over {x_label} {over}: {lines} line{'s' * (lines > 1)}, "
        f"from {min(values):.3f} to {max(values):.3f}. The numbers are in the table below."
    )


def _number(x: float) -> str:
    return f"{x:,.0f}" if x == round(x) else f"{x:g}"
