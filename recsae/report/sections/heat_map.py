"""Prepares the report's heat map of attributes and latents: the values the SAE responds to best, and in the same order
the latents that respond to them, so that the best cells lie on the diagonal.

Reads only the rows of `statistics` that it shows. The style sheet defines the colour of each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from recsae.report.rows.dictionary import NO_NAME, Name
from recsae.report.sections.attributes import VIEWS, place
from recsae.report.tables import read_optional
from recsae.store.run_store import Committed
from recsae.store.tables import among
from recsae.text.formatting import count, decimal, number

VALUES = 24
"""Maximum number of rows, and therefore of columns."""
STEPS = (0.1, 0.2, 0.3, 0.5, 0.7)
"""|r| from which each step of shading starts; below the first, a cell is not shaded."""
ABOVE, WITHIN, UNKNOWN = "", "within chance", "chance not measured"


class HeatCell(NamedTuple):
    r: str
    """Empty if the table has no such row."""
    step: int
    """Number of steps that |r| reaches, with the sign of r."""
    best: bool
    """Whether this latent responds to the value best."""


class HeatRow(NamedTuple):
    value: str
    cases: str
    mark: str
    """A remark if the best r does not exceed the 95th percentile by chance."""
    cells: tuple[HeatCell, ...]


class HeatGroup(NamedTuple):
    attribute: str
    rows: tuple[HeatRow, ...]


class HeatColumn(NamedTuple):
    latent: int
    concept: Name
    known: bool
    """Whether the latent is in the dictionary, and so has a page."""


class Heat(NamedTuple):
    description: str
    """The item that has the values."""
    columns: tuple[HeatColumn, ...]
    groups: tuple[HeatGroup, ...]
    shown: int
    measured: int
    """Number of values in that view; those with the best responses are shown."""
    gaps: bool
    """Whether some cells are empty."""


def about_heat(inputs: Mapping[str, Committed], names: Mapping[int, Name], view: str) -> Heat | None:
    """The heat map for `view` or, if that was not measured, for the first view that was; None without data."""
    asked = ["view", "attribute", "value", "cases", "latent", "correlation", "null_upper"]
    own = (pc.field("code") == "sae") & pc.is_finite(pc.field("correlation"))
    table = read_optional(inputs, "statistics", "attribute_best.parquet", asked, own)
    if table is None:
        return None
    used = min(pc.unique(table["view"]).to_pylist(), key=lambda one: (one != view, place(one)))
    table = table.filter(pc.field("view") == used)
    by_r = [("correlation", "descending"), ("attribute", "ascending"), ("value", "ascending")]
    best = table.take(pc.sort_indices(table, by_r)[:VALUES]).to_pylist()
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in best:  # the attribute with the best response comes first
        groups.setdefault(row["attribute"], []).append(row)
    latents = list(dict.fromkeys(row["latent"] for rows in groups.values() for row in rows))
    others = _others(inputs, used, latents, best)
    shown = tuple(
        HeatGroup(attribute, tuple(_row(row, latents, others) for row in rows)) for attribute, rows in groups.items()
    )
    return Heat(
        VIEWS.get(used, used),
        tuple(HeatColumn(latent, names.get(latent, NO_NAME), latent in names) for latent in latents),
        shown,
        len(best),
        table.num_rows,
        any(not cell.r for group in shown for row in group.rows for cell in row.cells),
    )


def _others(
    inputs: Mapping[str, Committed], view: str, latents: Sequence[int], best: Sequence[Mapping[str, Any]]
) -> dict[tuple[int, str, str], float]:
    """r by latent, attribute and value, for values in the latent's list of top attributes."""
    where = (
        (pc.field("code") == "sae")
        & (pc.field("view") == view)
        & among("latent", latents)
        & pc.field("value").isin(pa.array(sorted({row["value"] for row in best}), pa.string()))
    )
    asked = ["latent", "attribute", "value", "correlation"]
    table = read_optional(inputs, "statistics", "attribute_stats.parquet", asked, where)
    rows = [] if table is None else table.to_pylist()
    return {(row["latent"], row["attribute"], row["value"]): row["correlation"] for row in rows}


def _row(row: Mapping[str, Any], latents: Sequence[int], others: Mapping[tuple[int, str, str], float]) -> HeatRow:
    upper = number(row["null_upper"])
    mark = UNKNOWN if upper is None else ABOVE if row["correlation"] > upper else WITHIN
    cells = []
    for latent in latents:
        best = latent == row["latent"]
        r = row["correlation"] if best else number(others.get((latent, row["attribute"], row["value"])))
        cells.append(HeatCell("", 0, False) if r is None else HeatCell(_signed(r), _step(r), best))
    return HeatRow(row["value"], count(row["cases"]), mark, tuple(cells))


def _signed(r: float) -> str:
    """Two decimals with a true minus sign; values that round to 0 have no sign."""
    shown = decimal(r, 2)
    return decimal(0, 2) if float(shown) == 0 else shown.replace("-", "\u2212")


def _step(r: float) -> int:
    """The step of the rounded r, so that cells with the same number have the same colour."""
    reached = sum(abs(round(r, 2)) >= step for step in STEPS)
    return reached if r > 0 else -reached
