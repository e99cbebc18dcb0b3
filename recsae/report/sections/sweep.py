"""What the report says about a sweep: a table with one row an SAE, and curves over what was varied.

Figures are those on score users; which SAE goes on was decided on select users, by the rule told beside the table. It
knows the names of the stage's metrics and nothing of HTML or pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from recsae.config.sae import SweepConfig
from recsae.report.charts.curves import Curves, Level, Series, curves
from recsae.text.formatting import DASH, Cell, Row, count, decimal, listed, look_up, number, plain, share, text

One = Mapping[str, Any]
"""One SAE, as the stage committed it."""
AXES = {"num_latents": ("width", "latents"), "k": ("k", "k"), "l1": ("L1 weight", "L1 weight")}
"""What a chart is over: its name in the title and below the axis."""
FIGURES = {"fvu": "FVU", "l0": "L0", "dead_share": "Dead share"}
RANKED = {"hr@10": "HR@10", "ndcg@10": "NDCG@10", "ndcg@10_kept": "NDCG@10 kept", "top10_overlap": "Top-10 overlap"}
CORRELATION = {"correlation": "Mean best r"}
RULES = {
    "fvu": "the lowest FVU",
    "ndcg": "the highest NDCG@10 through the SAE",
    "correlation": "the highest mean best r",
}
PICKED = "picked"
MOST_LINES = 12
"""With more, a second chart over the same axis says less than the table."""


class Sweep(NamedTuple):
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """Labelled by what tells them apart."""
    shared: str
    """What they have in common."""
    rule: str
    """By what the one that goes on was picked."""
    picked: str
    """Its label."""
    charts: tuple[Curves, ...]
    seeds: int
    """A point of a curve is a mean over so many, at most."""


def sweep(config: SweepConfig, metrics: Mapping[str, Any], ranked: bool) -> Sweep | None:
    """The sweep as the page shows it; None where there was none. `ranked`: there was a model to rank with."""
    found = listed(look_up(metrics, "sweep"))
    if not found:
        return None
    figures = FIGURES | (RANKED if ranked else {}) | CORRELATION
    apart = _apart(found)
    rows = []
    for one in found:
        mark = PICKED if one.get("picked") is True else ""
        rows.append(Row(_label(one, apart), tuple(_cell(one, name) for name in figures), mark))
    words = [settings(one) for one in found]
    shared = [word for name, word in words[0].items() if all(other.get(name) == word for other in words)]
    return Sweep(
        tuple(figures.values()),
        tuple(rows),
        ", ".join(shared),
        _rule(config, found),
        next((row.label for row in rows if row.mark), DASH),
        _charts(found, number(look_up(metrics, "correlation", "raw"))),
        len({str(one.get("seed")) for one in found}),
    )


def settings(one: One) -> dict[str, str]:
    """In words what an SAE of its kind is told from others by; sparsity is k, or the weight of a relu SAE's penalty."""
    sparsity = f"L1 weight {plain(one.get('l1'))}" if one.get("kind") == "relu" else f"k = {count(one.get('k'))}"
    return {
        "num_latents": f"{count(one.get('num_latents'))} latents",
        "sparsity": sparsity,
        "learning_rate": f"learning rate {plain(one.get('learning_rate'))}",
        "seed": f"seed {plain(one.get('seed'))}",
    }


def _apart(found: Sequence[One]) -> set[str]:
    """The settings, beside the kind, in which SAEs differ."""
    words = [settings(one) for one in found]
    names = {name for name in words[0] if len({word[name] for word in words}) > 1}
    # A learning rate that was not chosen follows the number of latents, and tells nothing more than that.
    by_width = {(word["num_latents"], word["learning_rate"]) for word in words}
    if len(by_width) == len({width for width, _ in by_width}):
        names.discard("learning_rate")
    return names


def _label(one: One, names: Collection[str]) -> str:
    return ", ".join([text(one.get("kind")), *(word for name, word in settings(one).items() if name in names)])


def _cell(one: One, name: str) -> Cell:
    value = look_up(one, "score", name)
    if name in ("dead_share", "ndcg@10_kept", "top10_overlap"):
        return Cell(share(value))
    return Cell(decimal(value, {"l0": 1, "correlation": 3}.get(name, 4)))


def _rule(config: SweepConfig, found: Sequence[One]) -> str:
    """The config's rule, and what stands in for it where its figure could not be measured."""

    def measured(name: str) -> bool:
        return all(number(look_up(one, "select", name)) is not None for one in found)

    needs = {"ndcg": "ndcg@10", "correlation": "correlation"}.get(config.pick, "fvu")
    rule = RULES[config.pick]
    if not measured(needs):
        rule = f"{RULES['fvu']}, for want of what the config asks for"
    if config.keep_ndcg is not None and measured("ndcg@10_kept"):
        enough = share(config.keep_ndcg)
        rule += f" among those that keep {enough} of NDCG@10, or, where none does, by what keeps most of it"
    return rule


def _charts(found: Sequence[One], raw: float | None) -> tuple[Curves, ...]:
    """For every axis that was varied the mean best correlation, and FVU."""
    charts = []
    for axis, (title, x_label) in AXES.items():
        on_axis = [one for one in found if number(one.get(axis)) is not None]
        if len({one[axis] for one in on_axis}) < 2:
            continue
        names = _apart(on_axis) - {"seed", axis if axis == "num_latents" else "sparsity"}
        correlation = _series(on_axis, axis, names, "correlation")
        level = Level("raw dimensions", raw)
        charts.append(
            curves(
                correlation,
                title=f"Best correlation by {title}",
                x_label=x_label,
                y_label="mean best correlation",
                levels=[level],
            )
        )
        fvu = _series(on_axis, axis, names, "fvu")
        if len(fvu) <= MOST_LINES:
            charts.append(curves(fvu, title=f"FVU by {title}", x_label=x_label, y_label="FVU"))
    return tuple(chart for chart in charts if chart is not None)


def _series(found: Sequence[One], axis: str, names: Collection[str], figure: str) -> list[Series]:
    """A line for every combination of the settings, each point a mean over seeds."""
    lines: dict[str, dict[float, list[float]]] = {}
    for one in found:
        points = lines.setdefault(_label(one, names), {})
        values, value = points.setdefault(one[axis], []), number(look_up(one, "score", figure))
        if value is not None:
            values.append(value)
    return [
        Series(label, [(x, fmean(values) if values else None) for x, values in points.items()])
        for label, points in lines.items()
    ]
