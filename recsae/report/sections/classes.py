"""The report's section on what the latents are about: every alive latent in one class, and how well the statements of
each class hold on all cases, on unseen items, and beside the best single term.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

import pyarrow as pa

from recsae.concepts.classes import in_short
from recsae.schemas.concepts import KINDS
from recsae.text.formatting import Cell, Row, count, decimal, share

MEANINGS = {
    "formula": "attribute values, phrases and ranges of numbers, joined by and, or, not",
    "item set": "items around up to eight others, in the space of the recommender or of co-consumption",
    "item list": "up to sixty items, which say nothing about others",
    "behaviour": "a feature of the history, such as its length or the popularity of its items",
    "free text": "written and judged by the language model",
    "effect only": "no statement about the cases holds, but one about what the latent promotes does",
    "unexplained": "no statement is above the bar",
}
COLUMNS = ("Latents", "Confidence", "On unseen items", "Best single term", "Precision", "Recall", "F1", "Narrow F1")
_FIGURES = ("confidence", "unseen_confidence", "term_confidence", "precision", "recall", "f1", "core_f1")


class Medians(NamedTuple):
    """Medians over the latents that have the figure, and how many have."""

    confidence: float | None
    scored: int
    unseen: float | None
    unseen_scored: int
    term: float | None
    f1: float | None
    core_f1: float | None


class ClassFacts(NamedTuple):
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """A row per class that has a latent, `mark` its meaning; the sum last."""
    short: str
    """How many latents are in which class: those that are interpretable, then the others."""
    medians: Medians


def about_classes(concepts: pa.Table) -> ClassFacts:
    """The section, for a dictionary in the schema CONCEPTS."""
    columns = {name: concepts.column(name).to_pylist() for name in ("kind", *_FIGURES)}
    places = {kind: [place for place, one in enumerate(columns["kind"]) if one == kind] for kind in KINDS}
    places["all alive latents"] = list(range(concepts.num_rows))
    rows = tuple(_row(kind, some, columns, concepts.num_rows) for kind, some in places.items() if some)

    def known(name: str) -> int:
        return sum(value is not None for value in columns[name])

    medians = Medians(
        _median(columns["confidence"]),
        known("confidence"),
        _median(columns["unseen_confidence"]),
        known("unseen_confidence"),
        *(_median(columns[name]) for name in ("term_confidence", "f1", "core_f1")),
    )
    return ClassFacts(COLUMNS, rows, "; ".join(filter(None, in_short(columns["kind"]))), medians)


def _row(kind: str, places: Sequence[int], columns: dict[str, list[Any]], total: int) -> Row:
    cells = [Cell(count(len(places)), share(len(places), total))]
    for name in _FIGURES:
        values = [columns[name][place] for place in places]
        known = sum(value is not None for value in values)
        of = f"of {count(known)}" if 0 < known < len(values) else ""
        cells.append(Cell(decimal(_median(values), 2), of))
    return Row(kind, tuple(cells), MEANINGS.get(kind, ""))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
