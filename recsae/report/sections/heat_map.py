"""What the report's heat map of attributes and latents is made of: the values that the SAE answers to best, and in the
same order the latents that answer to them, so that the best of each stands on a diagonal.

It knows the tables of the stage `statistics`, of which it reads only the rows that it shows, and nothing of HTML. How a
step looks is the style's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from recsae.report.sections.attributes import VIEWS, place
from recsae.report.tables import read_if_there
from recsae.store.run_store import Committed
from recsae.store.tables import among
from recsae.text.formatting import count, decimal, number

VALUES = 24
"""Rows, and so at most as many columns."""
STEPS = (0.1, 0.2, 0.3, 0.5, 0.7)
"""|r| from which a cell is shaded by one step more; below the first it is not shaded."""
ABOVE, WITHIN, UNKNOWN = "", "within chance", "chance not measured"


class HeatCell(NamedTuple):
    r: str
    """Empty where no row of the table has it."""
    step: int
    """Steps of |r| that are reached; below 0 where r is."""
    best: bool
    """Whether this latent answers to the value best."""


class HeatRow(NamedTuple):
    value: str
    cases: str
    mark: str
    """Words where the best r does not exceed what 95 % of chances stay below."""
    cells: tuple[HeatCell, ...]


class HeatGroup(NamedTuple):
    attribute: str
    rows: tuple[HeatRow, ...]


class HeatColumn(NamedTuple):
    latent: int
    concept: str | None
    known: bool
    """Whether the dictionary has it, and with that a page."""


class Heat(NamedTuple):
    described: str
    """Whose item bears the values."""
    columns: tuple[HeatColumn, ...]
    groups: tuple[HeatGroup, ...]
    shown: int
    measured: int
    """Values of that view, of which the best answered are shown."""
    gaps: bool
    """Whether there are empty cells."""


def about_heat(inputs: Mapping[str, Committed], names: Mapping[int, str | None], view: str) -> Heat | None:
    """By `view` where it was measured, else by the first that was; None where there is nothing to show."""
    asked = ["view", "attribute", "value", "cases", "latent", "correlation", "null_upper"]
    own = (pc.field("code") == "sae") & pc.is_finite(pc.field("correlation"))
    table = read_if_there(inputs, "statistics", "attribute_best.parquet", asked, own)
    if table is None:
        return None
    seen = min(pc.unique(table["view"]).to_pylist(), key=lambda one: (one != view, place(one)))
    table = table.filter(pc.field("view") == seen)
    by_r = [("correlation", "descending"), ("attribute", "ascending"), ("value", "ascending")]
    best = table.take(pc.sort_indices(table, by_r)[:VALUES]).to_pylist()
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in best:  # the attribute that is answered to best comes first
        groups.setdefault(row["attribute"], []).append(row)
    latents = list(dict.fromkeys(row["latent"] for rows in groups.values() for row in rows))
    others = _others(inputs, seen, latents, best)
    told = tuple(
        HeatGroup(attribute, tuple(_row(row, latents, others) for row in rows)) for attribute, rows in groups.items()
    )
    return Heat(
        VIEWS.get(seen, seen),
        tuple(HeatColumn(latent, names.get(latent), latent in names) for latent in latents),
        told,
        len(best),
        table.num_rows,
        any(not cell.r for group in told for row in group.rows for cell in row.cells),
    )


def _others(
    inputs: Mapping[str, Committed], view: str, latents: Sequence[int], best: Sequence[Mapping[str, Any]]
) -> dict[tuple[int, str, str], float]:
    """r by latent, attribute and value, where the latent's own list of attributes has the value."""
    where = (
        (pc.field("code") == "sae")
        & (pc.field("view") == view)
        & among("latent", latents)
        & pc.field("value").isin(pa.array(sorted({row["value"] for row in best}), pa.string()))
    )
    asked = ["latent", "attribute", "value", "correlation"]
    table = read_if_there(inputs, "statistics", "attribute_stats.parquet", asked, where)
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
    """Two digits and a minus that is as wide as a digit; what rounds to nothing has no sign."""
    shown = decimal(r, 2)
    return decimal(0, 2) if float(shown) == 0 else shown.replace("-", "\u2212")


def _step(r: float) -> int:
    """By r as it is written: cells that read alike look alike."""
    reached = sum(abs(round(r, 2)) >= step for step in STEPS)
    return reached if r > 0 else -reached
