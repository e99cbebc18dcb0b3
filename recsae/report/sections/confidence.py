"""The report's section on confidence: how many latents reach thresholds, by their statement on all cases and by
RecSAE's protocol, beside chance levels, and whether the language model's confidence holds on unseen cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from recsae.report.sections.calibration import CalibrationCurve, calibration
from recsae.text.formatting import Cell, Row, count, decimal, listed, look_up, number, share

THRESHOLDS = ("0.7", "0.75", "0.8", "0.9")
CHANCES = {"coin": "By chance: coin flips", "chance": "By chance: the judge’s answers, shuffled"}


class RowCounts(NamedTuple):
    """Counts of dictionary rows."""

    rows: int
    scored: int
    controls: int
    """Rows whose statement was also counted before another latent."""
    interpretable: int
    groups: int
    """Headings of more than one latent."""
    grouped: int
    """Latents with such a heading."""
    polysemantic: int


class ConfidenceFacts(NamedTuple):
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """Empty if nothing was counted."""
    recsae: bool
    """Whether RecSAE's protocol was run."""
    calibration: CalibrationCurve | None


def count_rows(concepts: pa.Table) -> RowCounts:
    """Counts over a dictionary in the schema CONCEPTS."""

    def known(name: str) -> int:
        return int(concepts.num_rows - concepts.column(name).null_count)

    shared = concepts.filter(pc.field("group").is_valid() & (pc.field("group_size") > 1))
    return RowCounts(
        concepts.num_rows,
        known("confidence"),
        known("confidence_shuffled"),
        pc.sum(concepts.column("interpretable")).as_py() or 0,
        len(pc.unique(shared.column("group"))),
        shared.num_rows,
        pc.sum(concepts.column("polysemantic")).as_py() or 0,
    )


def about_confidence(counts: RowCounts, concepts: Mapping[str, Any], scores: Mapping[str, Any]) -> ConfidenceFacts:
    """The section, from the metrics of the stages `concepts` and `scores`."""
    rows = []
    if any(number(look_up(concepts, f"at_{threshold}")) is not None for threshold in THRESHOLDS):
        rows.append(_reached("Confidence", counts.scored, concepts, "at_"))
        rows.append(_reached("By chance: the shuffled controls", counts.controls, concepts, "shuffled_at_"))
    asked = number(look_up(scores, "recsae", "latents"))
    if asked:
        recsae = look_up(scores, "recsae")
        rows.append(_reached("RecSAE’s protocol", asked, recsae, "at_"))
        rows += [_by_chance(label, asked, recsae, name) for name, label in CHANCES.items()]
    return ConfidenceFacts(
        ("Latents scored", *(f"At {threshold} or above" for threshold in THRESHOLDS)),
        tuple(rows),
        bool(asked),
        calibration(look_up(scores, "calibration", "error"), listed(look_up(scores, "calibration", "bins"))),
    )


def _reached(label: str, asked: float, metrics: Mapping[str, Any], prefix: str) -> Row:
    found = [look_up(metrics, prefix + threshold) for threshold in THRESHOLDS]
    cells = (Cell(count(value), share(value, asked) if number(value) is not None else "") for value in found)
    return Row(label, (Cell(count(asked)), *cells))


def _by_chance(label: str, asked: float, recsae: Mapping[str, Any], name: str) -> Row:
    """The expected number of latents that pass by chance, from the probability of one."""
    cells = []
    for threshold in THRESHOLDS:
        chance = number(look_up(recsae, f"{name}_{threshold}"))
        cells.append(
            Cell(decimal(None if chance is None else chance * asked, 1), "" if chance is None else share(chance))
        )
    return Row(label, (Cell(count(asked)), *cells))
