"""Draws the charts of the report with Altair: confidence, calibration, sweeps, and the trade-off of steering.

Each function takes data prepared by its own module and returns an SVG whose colours are variables of base.css. Legends,
titles and tables are in the templates. Only the stage imports this module, since it imports Altair.
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
DASHES, DOTS = [6, 4], [2, 3]
AS_DRAWN = 4
"""The size that draws a mark's path at its own scale: Vega scales paths by half the square root of the size."""
SPACED = 40
"""Pixels between labels of a broad chart, whose font charts.css enlarges on narrow screens."""
EXACT = "format(datum.value, ',.12~g')"
"""Labels with the exact number: by default, Vega rounds to the tick step and drops labels of logarithmic axes."""
BY_ORDER, TOOLTIP = alt.Order("order:Q"), alt.Description("tooltip:N")
Row = Mapping[str, Any]


class Frame(NamedTuple):
    """Size of a chart and of its margins for labels, in pixels; `kind` is its class in charts.css."""

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
    tallest = max(max(one.concepts, one.controls, one.nulls) for one in found.bins)
    ticks = {"values": list(range(tallest + 1))} if tallest <= 5 else {"tickCount": 5}
    y = _y(BROAD, "latents", {"zero": True, "nice": 5}, labelExpr=EXACT, **ticks)
    bars = [{"x": one.lower + 0.001, "x2": one.upper - 0.001, "y": one.concepts, "y2": 0} for one in found.bins]
    layers = [_chart(bars).mark_rect(fill=CONCEPT, aria=False).encode(x, y, x2="x2", y2="y2")]

    def outline(counts: Sequence[int], **looks: Any) -> Any:
        heights = ((one.lower, count) for one, count in zip(found.bins, counts, strict=True))
        stair = _chart(_row(*at, order=order) for order, at in enumerate([(0, 0), *heights, (1, counts[-1]), (1, 0)]))
        return stair.mark_line(interpolate="step-after", aria=False, **looks).encode(x, y, BY_ORDER)

    if found.nulls:
        layers.append(outline([one.nulls for one in found.bins], stroke=QUIET, strokeWidth=2.5, strokeDash=DOTS))
    layers.append(outline([one.controls for one in found.bins], stroke=CONTROL, strokeWidth=3))
    if found.bar is not None:
        layers.append(_chart([{"x": found.bar}]).mark_rule(stroke=INK, strokeWidth=2, strokeDash=DASHES).encode(x))
    chart = _layered(BROAD, layers)
    return svg(chart, BROAD.kind, "histogram", "Histogram of confidence", found.description)


def calibration(found: CalibrationCurve) -> Markup:
    ends = {"domain": [found.low, 1]}
    x, y = (
        _x(SQUARE, "confidence expected", ends, labelExpr=EXACT, tickCount=5),
        _y(SQUARE, "right", ends, labelExpr=EXACT, tickCount=5),
    )
    dots = [_row(one.expected, one.right, tooltip=place, latents=one.latents) for place, one in enumerate(found.bins)]
    area = alt.Size("latents:Q").scale(domain=[0, max(one.latents for one in found.bins)], range=[50, 615]).legend(None)
    diagonal = _chart([_row(found.low, found.low), _row(1, 1)])
    layers = [
        diagonal.mark_line(stroke=INK, strokeWidth=2, strokeDash=DASHES, aria=False).encode(x, y),
        _chart(dots).mark_circle(fill=CONCEPT, stroke=SHEET, strokeWidth=1.5, opacity=1).encode(x, y, area, TOOLTIP),
    ]
    tooltips = [
        f"expected {decimal(one.expected)}, right {decimal(one.right)}, {count(one.latents)} latents"
        for one in found.bins
    ]
    title = "Calibration of the expected confidence"
    return svg(_layered(SQUARE, layers), SQUARE.kind, "calibration-picture", title, found.description, tooltips)


def curves(found: Curves, number: int) -> Markup:
    """`number` makes the ids unique within a page."""
    places = sorted({point.at for line in found.lines for point in line.points})
    values = [point.y for line in found.lines for point in line.points if point.y is not None]
    values += [level.value for level in found.levels]
    ends = [places[0], places[-1]] if len(places) > 1 else [places[0] / 2, 2 * places[0]]
    logarithmic = {"type": "log", "domain": ends, "nice": False}
    x = _x(BROAD, found.x_label, logarithmic, values=places, labelExpr=EXACT, labelSeparation=SPACED)
    # Start at 0 only if that costs little of the height; otherwise curves that are close together would look flat.
    y = _y(BROAD, found.y_label, {"zero": 0 <= min(values) < max(values) / 2, "nice": 5}, tickCount=5)
    layers = [
        _chart([{"y": level.value}]).mark_rule(stroke=INK, strokeWidth=2, strokeDash=DASHES, aria=False).encode(y)
        for level in found.levels
    ]
    tooltips: list[str] = []
    for line in found.lines:
        colour = f"var(--series-{line.style})"
        points = _chart(_row(one.at, one.y, tooltip=len(tooltips) + place) for place, one in enumerate(line.points))
        tooltips += [f"{line.label}, {one.x}: {decimal(one.y)}" for one in line.points]
        layers.append(points.mark_line(stroke=colour, strokeWidth=2.5, aria=False).encode(x, y))
        layers.append(_marked(points, line.mark, colour).encode(x, y, TOOLTIP))
    return svg(_layered(BROAD, layers), BROAD.kind, f"curves-{number}", found.title, found.description, tooltips)


def steering(found: Picture, number: int) -> Markup:
    """`number` makes the ids unique within a page."""
    percent, reach = "datum.label + '\u00a0%'", {"domain": [100 * end for end in found.reach], "nice": 5}
    x = _x(SMALL, "change of NDCG@10", reach, labelExpr=percent, tickCount=5)
    y = _y(SMALL, "share of the top 10", {"zero": True, "nice": 5}, labelExpr=percent, tickCount=5)
    clean = _row(0, 100 * found.steered.clean, order=0, tooltip=0)
    tooltips, layers = [found.clean], []
    if found.chance:
        by_chance = [clean | {"low": clean["y"], "high": clean["y"]}]
        for one in found.chance:
            by_chance.append(_row(100 * one.ndcg, 100 * one.mean, low=100 * one.lower, high=100 * one.upper))
        area = _chart(row | {"y": row["low"]} for row in by_chance)
        layers += [
            area.mark_area(fill="var(--track)", fillOpacity=0.5, aria=False).encode(x, y, y2="high"),
            _chart(by_chance).mark_line(stroke=QUIET, strokeWidth=1.5, aria=False).encode(x, y),
        ]
    if found.steered.target_share is not None:
        target = _chart([{"y": 100 * found.steered.target_share}])
        layers.append(target.mark_rule(stroke=INK, strokeWidth=1.5, strokeDash=[2, 4], aria=False).encode(y))
    for style, label, places in ((1, "probe", found.probe), (0, f"latent {found.steered.latent}", found.latent)):
        colour = f"var(--series-{style})"
        rows = [
            _row(100 * one.ndcg, 100 * one.share, order=1 + place, tooltip=len(tooltips) + place)
            for place, one in enumerate(places)
        ]
        tooltips += [f"{label}, {one.tooltip}" for one in places]
        if rows:
            line = _chart([clean, *rows]).mark_line(stroke=colour, strokeWidth=2.5, aria=False)
            layers += [
                line.encode(x, y, BY_ORDER),
                _marked(_chart(rows), MARKS[style], colour, 0.75).encode(x, y, TOOLTIP),
            ]
    ring = _chart([clean]).mark_circle(fill=SHEET, stroke=INK, strokeWidth=2, size=78, opacity=1)
    layers.append(ring.encode(x, y, TOOLTIP))
    title = f"{found.steered.concept}: share of the top 10 against NDCG@10"
    return svg(_layered(SMALL, layers), SMALL.kind, f"turning-{number}", title, found.description, tooltips)


def _row(x: float, y: float | None, **more: float) -> dict[str, Any]:
    return {"x": x, "y": y, **more}


def _chart(rows: Iterable[Row]) -> alt.Chart:
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
    """The title is horizontal, above the axis."""
    level: dict[str, Any] = {"titleAngle": 0, "titleAlign": "left", "titleX": 4 - frame.left, "titleY": 18 - frame.top}
    axis = alt.Axis(labelPadding=8, **level, **more)
    return alt.Y("y:Q", axis=axis, scale=alt.Scale(**scale), title=title)


def _layered(frame: Frame, layers: Sequence[alt.Chart]) -> alt.LayerChart:
    """The layered chart, with a size that does not depend on fonts."""
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
