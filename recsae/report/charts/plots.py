"""The pictures of the report, drawn by Altair: confidence, calibration, what a sweep varied, and what turning costs.

Each takes what a module of its own prepared, and gives an SVG whose colours are variables of page.css. Legends, titles
and tables are the templates'. Importing this imports Altair, so only the stage that draws does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
from markupsafe import Markup

from recsae.report.charts.curves import MARKS, Curves
from recsae.report.charts.histogram import Histogram
from recsae.report.charts.steering_curves import Picture
from recsae.report.charts.svg import svg
from recsae.report.sections.calibration import CalibrationCurve
from recsae.text.formatting import count, decimal

INK, QUIET, SHEET, CONCEPT, CONTROL = (f"var(--{name})" for name in ("ink", "quiet", "sheet", "concept", "control"))
DASHES = [6, 4]
AS_DRAWN = 4
"""The size of a mark whose path is in pixels: Vega scales a path by half the root of its size."""
SPACED = 40
"""Pixels between labels of a broad picture, whose letters page.css makes larger on a narrow screen."""
EXACT = "format(datum.value, ',.12~g')"
"""A label as the number is: by itself Vega rounds to the step, and leaves labels of a logarithmic axis out."""
BY_TURN, TOLD = alt.Order("turn:Q"), alt.Description("told:N")
Row = Mapping[str, Any]


class Frame(NamedTuple):
    """Pixels of a picture and of the room beside it, in which labels lie; `kind` is its class in page.css."""

    kind: str
    width: int
    height: int
    left: int
    right: int
    top: int = 44
    bottom: int = 64


BROAD = Frame("broad", 600, 352, 88, 32)
SQUARE = Frame("square", 380, 320, 64, 24)
SMALL = Frame("small", 302, 214, 58, 20, 34, 52)


def histogram(found: Histogram) -> Markup:
    x = _x(BROAD, "confidence", {"domain": [0, 1]}, values=[0, 0.25, 0.5, 0.75, 1], labelExpr=EXACT)
    most = max(max(one.concepts, one.controls) for one in found.bins)
    whole = {"values": list(range(most + 1))} if most <= 5 else {"tickCount": 5}
    y = _y(BROAD, "latents", {"zero": True, "nice": 5}, labelExpr=EXACT, **whole)
    bars = [{"x": one.lower + 0.001, "x2": one.upper - 0.001, "y": one.concepts, "y2": 0} for one in found.bins]
    stair = [(0, 0), *((one.lower, one.controls) for one in found.bins), (1, found.bins[-1].controls), (1, 0)]
    outline = _of(_row(*at, turn=turn) for turn, at in enumerate(stair))
    layers = [
        _of(bars).mark_rect(fill=CONCEPT, aria=False).encode(x, y, x2="x2", y2="y2"),
        outline.mark_line(stroke=CONTROL, strokeWidth=3, interpolate="step-after", aria=False).encode(x, y, BY_TURN),
    ]
    if found.bar is not None:
        layers.append(_of([{"x": found.bar}]).mark_rule(stroke=INK, strokeWidth=2, strokeDash=DASHES).encode(x))
    chart = _layered(BROAD, layers)
    return svg(chart, BROAD.kind, "histogram", "Histogram of confidence", found.described)


def calibration(found: CalibrationCurve) -> Markup:
    ends = {"domain": [found.low, 1]}
    x, y = (
        _x(SQUARE, "confidence expected", ends, labelExpr=EXACT, tickCount=5),
        _y(SQUARE, "right", ends, labelExpr=EXACT, tickCount=5),
    )
    dots = [_row(one.expected, one.right, told=place, latents=one.latents) for place, one in enumerate(found.bins)]
    area = alt.Size("latents:Q").scale(domain=[0, max(one.latents for one in found.bins)], range=[50, 615]).legend(None)
    diagonal = _of([_row(found.low, found.low), _row(1, 1)])
    layers = [
        diagonal.mark_line(stroke=INK, strokeWidth=2, strokeDash=DASHES, aria=False).encode(x, y),
        _of(dots).mark_circle(fill=CONCEPT, stroke=SHEET, strokeWidth=1.5, opacity=1).encode(x, y, area, TOLD),
    ]
    told = [
        f"expected {decimal(one.expected)}, right {decimal(one.right)}, {count(one.latents)} latents"
        for one in found.bins
    ]
    title = "Calibration of the expected confidence"
    return svg(_layered(SQUARE, layers), SQUARE.kind, "calibration-picture", title, found.described, told)


def curves(found: Curves, number: int) -> Markup:
    """`number` tells charts of a page apart."""
    places = sorted({point.at for line in found.lines for point in line.points})
    values = [point.y for line in found.lines for point in line.points if point.y is not None]
    values += [level.value for level in found.levels]
    ends = [places[0], places[-1]] if len(places) > 1 else [places[0] / 2, 2 * places[0]]
    logarithmic = {"type": "log", "domain": ends, "nice": False}
    x = _x(BROAD, found.x_label, logarithmic, values=places, labelExpr=EXACT, labelSeparation=SPACED)
    # From 0 where that costs little of the height: curves that lie close together would be flat if always.
    y = _y(BROAD, found.y_label, {"zero": 0 <= min(values) < max(values) / 2, "nice": 5}, tickCount=5)
    layers = [
        _of([{"y": level.value}]).mark_rule(stroke=INK, strokeWidth=2, strokeDash=DASHES, aria=False).encode(y)
        for level in found.levels
    ]
    told: list[str] = []
    for line in found.lines:
        colour = f"var(--series-{line.style})"
        points = _of(_row(one.at, one.y, told=len(told) + place) for place, one in enumerate(line.points))
        told += [f"{line.label}, {one.x}: {decimal(one.y)}" for one in line.points]
        layers.append(points.mark_line(stroke=colour, strokeWidth=2.5, aria=False).encode(x, y))
        layers.append(_marked(points, line.mark, colour).encode(x, y, TOLD))
    return svg(_layered(BROAD, layers), BROAD.kind, f"curves-{number}", found.title, found.described, told)


def turning(found: Picture, number: int) -> Markup:
    """`number` tells pictures of a page apart."""
    percent, reach = "datum.label + '\u00a0%'", {"domain": [100 * end for end in found.reach], "nice": 5}
    x = _x(SMALL, "change of NDCG@10", reach, labelExpr=percent, tickCount=5)
    y = _y(SMALL, "share of the top 10", {"zero": True, "nice": 5}, labelExpr=percent, tickCount=5)
    clean = _row(0, 100 * found.turn.clean, turn=0, told=0)
    told, layers = [found.clean], []
    if found.chance:
        by_chance = [clean | {"low": clean["y"], "high": clean["y"]}]
        for one in found.chance:
            by_chance.append(_row(100 * one.ndcg, 100 * one.mean, low=100 * one.lower, high=100 * one.upper))
        area = _of(row | {"y": row["low"]} for row in by_chance)
        layers += [
            area.mark_area(fill="var(--track)", fillOpacity=0.5, aria=False).encode(x, y, y2="high"),
            _of(by_chance).mark_line(stroke=QUIET, strokeWidth=1.5, aria=False).encode(x, y),
        ]
    if found.turn.wished is not None:
        wished = _of([{"y": 100 * found.turn.wished}])
        layers.append(wished.mark_rule(stroke=INK, strokeWidth=1.5, strokeDash=[2, 4], aria=False).encode(y))
    for style, label, places in ((1, "probe", found.probe), (0, f"latent {found.turn.latent}", found.latent)):
        colour = f"var(--series-{style})"
        rows = [
            _row(100 * one.ndcg, 100 * one.share, turn=1 + place, told=len(told) + place)
            for place, one in enumerate(places)
        ]
        told += [f"{label}, {one.told}" for one in places]
        if rows:
            line = _of([clean, *rows]).mark_line(stroke=colour, strokeWidth=2.5, aria=False)
            layers += [line.encode(x, y, BY_TURN), _marked(_of(rows), MARKS[style], colour, 0.75).encode(x, y, TOLD)]
    ring = _of([clean]).mark_circle(fill=SHEET, stroke=INK, strokeWidth=2, size=78, opacity=1)
    layers.append(ring.encode(x, y, TOLD))
    title = f"{found.turn.concept}: share of the top 10 against NDCG@10"
    return svg(_layered(SMALL, layers), SMALL.kind, f"turning-{number}", title, found.described, told)


def _row(x: float, y: float | None, **more: float) -> dict[str, Any]:
    return {"x": x, "y": y, **more}


def _of(rows: Iterable[Row]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


def _marked(points: alt.Chart, path: str, colour: str, scale: float = 1) -> alt.Chart:
    size = AS_DRAWN * scale**2
    made: alt.Chart = points.mark_point(
        shape=path, size=size, fill=colour, stroke=SHEET, strokeWidth=1.5 * scale, opacity=1
    )
    return made


def _x(frame: Frame, title: str, scale: Mapping[str, Any], **more: Any) -> alt.X:
    labels: dict[str, Any] = {"labelPadding": 14, "labelFlush": False, "labelOverlap": "greedy"}
    axis = alt.Axis(grid=False, titleY=frame.bottom - 12, **(labels | more))
    return alt.X("x:Q", axis=axis, scale=alt.Scale(**scale), title=title)


def _y(frame: Frame, title: str, scale: Mapping[str, Any], **more: Any) -> alt.Y:
    """The title lies above the axis, where it can be read without turning one's head."""
    level: dict[str, Any] = {"titleAngle": 0, "titleAlign": "left", "titleX": 4 - frame.left, "titleY": 18 - frame.top}
    axis = alt.Axis(labelPadding=8, **level, **more)
    return alt.Y("y:Q", axis=axis, scale=alt.Scale(**scale), title=title)


def _layered(frame: Frame, layers: Sequence[alt.Chart]) -> alt.LayerChart:
    """Of a size that no font changes."""
    axis = {"domain": False, "ticks": False, "gridColor": "var(--line)", "labelColor": QUIET, "titleColor": QUIET}
    return alt.LayerChart(
        layer=list(layers),
        width=frame.width,
        height=frame.height,
        padding={side: getattr(frame, side) for side in ("left", "right", "top", "bottom")},
        autosize="none",
        background="transparent",
        config={"view": {"stroke": None}, "axis": axis | {"labelFontSize": 14}},
    )
