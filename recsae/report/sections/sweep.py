"""The report's section on a sweep: a table with one row per SAE, and curves over the varied settings.

Figures are on score users; the SAE was picked on select users, by the rule stated beside the table.
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
"""The x axes: name in the title, and label of the axis."""
FIGURES = {"fvu": "FVU", "l0": "L0", "dead_share": "Dead share"}
RANKED = {"hr@10": "HR@10", "ndcg@10": "NDCG@10", "ndcg@10_kept": "NDCG@10 kept", "top10_overlap": "Top-10 overlap"}
CORRELATION = {"correlation": "Mean best r"}
RULES = {
    "fvu": "the lowest FVU",
    "ndcg": "the highest NDCG@10 through the SAE",
    "correlation": "the highest mean best r",
}
PICKED = "picked"
MAX_LINES = 12
"""With more lines, a second chart over the same axis says less than the table."""


class Sweep(NamedTuple):
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """Labelled by the settings that differ."""
    shared: str
    """The settings that all have in common."""
    rule: str
    """The rule by which one was picked."""
    picked: str
    """The label of the picked SAE."""
    charts: tuple[Curves, ...]
    seeds: int
    """Number of seeds over which points of a curve are averaged, at most."""


def sweep(config: SweepConfig, metrics: Mapping[str, Any], ranked: bool) -> Sweep | None:
    """The section; None without a sweep. `ranked`: there is a model to rank with."""
    found = listed(look_up(metrics, "sweep"))
    if not found:
        return None
    figures = FIGURES | (RANKED if ranked else {}) | CORRELATION
    differing = _differing(found)
    rows = []
    for one in found:
        mark = PICKED if one.get("picked") is True else ""
        rows.append(Row(_label(one, differing), tuple(_cell(one, name) for name in figures), mark))
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
    """The settings of an SAE in words; sparsity is k, or the penalty weight of a relu SAE."""
    sparsity = f"L1 weight {plain(one.get('l1'))}" if one.get("kind") == "relu" else f"k = {count(one.get('k'))}"
    return {
        "num_latents": f"{count(one.get('num_latents'))} latents",
        "sparsity": sparsity,
        "learning_rate": f"learning rate {plain(one.get('learning_rate'))}",
        "seed": f"seed {plain(one.get('seed'))}",
    }


def _differing(found: Sequence[One]) -> set[str]:
    """The settings, other than the kind, in which the SAEs differ."""
    words = [settings(one) for one in found]
    names = {name for name in words[0] if len({word[name] for word in words}) > 1}
    # A default learning rate follows from the number of latents and adds no information.
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
    """The rule of the config, or its substitute if the metric could not be measured."""

    def measured(name: str) -> bool:
        return all(number(look_up(one, "select", name)) is not None for one in found)

    needs = {"ndcg": "ndcg@10", "correlation": "correlation"}.get(config.pick, "fvu")
    rule = RULES[config.pick]
    if not measured(needs):
        rule = f"{RULES['fvu']}, because the metric of the config could not be measured"
    if config.keep_ndcg is not None and measured("ndcg@10_kept"):
        enough = share(config.keep_ndcg)
        rule += f" among those that keep {enough} of NDCG@10 or, if none does, the highest share of NDCG@10 kept"
    return rule


def _charts(found: Sequence[One], raw: float | None) -> tuple[Curves, ...]:
    """For every varied axis, a chart of the mean best correlation and one of FVU."""
    charts = []
    for axis, (title, x_label) in AXES.items():
        on_axis = [one for one in found if number(one.get(axis)) is not None]
        if len({one[axis] for one in on_axis}) < 2:
            continue
        names = _differing(on_axis) - {"seed", axis if axis == "num_latents" else "sparsity"}
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
        if len(fvu) <= MAX_LINES:
            charts.append(curves(fvu, title=f"FVU by {title}", x_label=x_label, y_label="FVU"))
    return tuple(chart for chart in charts if chart is not None)


def _series(found: Sequence[One], axis: str, names: Collection[str], figure: str) -> list[Series]:
    """One line per combination of the settings; each point is a mean over seeds."""
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
