"""What the report says of last night: how many concepts were kept, and which were renamed, moved, new or lost.

It knows the table of drift and nothing of HTML or of how latents were matched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from recsae.report.tables import read_if_there
from recsae.schemas.nightly import CHANGES, DRIFT
from recsae.store.run_store import Committed
from recsae.text.formatting import DASH, Cell, Row, count, decimal, look_up, share, text

MOST = 50
"""Rows of the table; those of concepts that were or are believed come first."""


class Drift(NamedTuple):
    counts: tuple[tuple[str, str], ...]
    """Each change, and how many concepts it came to."""
    gone: str
    """Share of last night's interpretable latents that are gone."""
    carried: str
    relabelled: str
    rows: tuple[Row, ...]
    more: int
    """Changes that the table leaves out."""


def about_drift(inputs: Mapping[str, Committed]) -> Drift | None:
    """None on a first night."""
    counted = look_up(inputs["concepts"].metrics, "drift")
    table = read_if_there(inputs, "concepts", "drift.parquet", DRIFT.names)
    if not isinstance(counted, Mapping) or table is None:
        return None
    changed = [row for row in table.to_pylist() if row["change"] != "kept"]
    believed = [row for row in changed if row["interpretable"] or row["last_interpretable"]]
    labels = inputs["labels"].metrics
    carried, labelled = look_up(labels, "carried"), look_up(labels, "latents")
    return Drift(
        counts=tuple((change, count(counted.get(change))) for change in CHANGES),
        gone=share(counted.get("interpretable_gone")),
        carried=count(carried),
        relabelled=count(labelled - carried) if carried is not None and labelled is not None else DASH,
        rows=tuple(_row(row) for row in sorted(believed, key=_order)[:MOST]),
        more=max(len(changed) - min(len(believed), MOST), 0),
    )


def _order(row: Mapping[str, Any]) -> tuple[int, float]:
    """The gone first, and of each change the surest first."""
    surest = max(row["confidence"] or 0.0, row["last_confidence"] or 0.0)
    return CHANGES[::-1].index(row["change"]), -surest


def _row(row: Mapping[str, Any]) -> Row:
    cells = (
        Cell(text(row["last_name"])),
        Cell(text(row["name"])),
        Cell(decimal(row["last_confidence"], 2)),
        Cell(decimal(row["confidence"], 2)),
        Cell(decimal(row["similarity"], 2)),
        Cell(decimal(row["jaccard"], 2)),
    )
    return Row(row["stable_id"], cells, row["change"])
