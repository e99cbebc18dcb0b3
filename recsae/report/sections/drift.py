"""The report's section on drift: concepts kept since last night, and those that were renamed, moved, new or gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from recsae.report.tables import read_optional
from recsae.schemas.nightly import CHANGES, DRIFT
from recsae.store.run_store import Committed
from recsae.text.formatting import DASH, Cell, Row, count, decimal, look_up, share, text

MAX_SHOWN = 50
"""Maximum number of rows; only concepts that are or were interpretable are listed."""


class Drift(NamedTuple):
    counts: tuple[tuple[str, str], ...]
    """Each change, with its number of latents that are or were interpretable."""
    gone: str
    """Share of last night's interpretable latents that are gone."""
    lost: str
    """Latents that are still there and interpretable no more."""
    unnamed: str
    """Latents that neither night has a concept for; not among the counts."""
    reused: str
    relabelled: str
    rows: tuple[Row, ...]
    more: int
    """Number of changes that the table leaves out."""


def about_drift(inputs: Mapping[str, Committed]) -> Drift | None:
    """The section; None on the first night."""
    counts = look_up(inputs["concepts"].metrics, "drift")
    table = read_optional(inputs, "concepts", "drift.parquet", DRIFT.names)
    if not isinstance(counts, Mapping) or table is None:
        return None
    changed = [row for row in table.to_pylist() if row["change"] != "kept" or _lost(row)]
    interpretable = [row for row in changed if row["interpretable"] or row["last_interpretable"]]
    labels = inputs["labels"].metrics
    reused, labelled = look_up(labels, "carried"), look_up(labels, "latents")
    return Drift(
        counts=tuple((change, count(counts.get(change))) for change in CHANGES),
        gone=share(counts.get("interpretable_gone")),
        lost=count(counts.get("lost")),
        unnamed=count(sum((counts.get("unnamed") or {}).values())),
        reused=count(reused),
        relabelled=count(labelled - reused) if reused is not None and labelled is not None else DASH,
        rows=tuple(_row(row) for row in sorted(interpretable, key=_order)[:MAX_SHOWN]),
        more=max(len(changed) - min(len(interpretable), MAX_SHOWN), 0),
    )


def _lost(row: Mapping[str, Any]) -> bool:
    """Whether its latent is still there and interpretable no more."""
    return bool(row["last_interpretable"]) and row["interpretable"] is False


def _order(row: Mapping[str, Any]) -> tuple[int, float]:
    """Sort key: gone concepts first, then by descending confidence."""
    confidence = max(row["confidence"] or 0.0, row["last_confidence"] or 0.0)
    return CHANGES[::-1].index(row["change"]), -confidence


def _row(row: Mapping[str, Any]) -> Row:
    cells = (
        Cell(text(row["last_name"])),
        Cell(text(row["name"])),
        Cell(decimal(row["last_confidence"], 2)),
        Cell(decimal(row["confidence"], 2)),
        Cell(decimal(row["similarity"], 2)),
        Cell(decimal(row["top_jaccard"] if row["jaccard"] is None else row["jaccard"], 2)),
    )
    return Row(row["stable_id"], cells, f"{row['change']}, lost its tick" if _lost(row) else row["change"])
