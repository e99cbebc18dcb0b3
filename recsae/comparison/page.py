"""The page of several runs: how many and how different concepts each recommender holds, by data.

It knows the table MODELS and nothing of stores or runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recsae.comparison.pairs import MEASURES, PairCounts, tell
from recsae.text.formatting import DASH, Cell, Row, count, decimal, interval, share
from recsae.text.html import render

_HERE = Path(__file__).parent


class DataSet(NamedTuple):
    """The models of the same data, the best recommender first."""

    name: str
    size: str
    models: tuple[tuple[str, str], ...]
    """Recommender and run."""
    measures: tuple[Row, ...]
    """A line for each measure, in it a cell for each model."""


def models_page(models: pa.Table) -> str:
    """The HTML of a comparison, from rows of MODELS."""
    rows = models.to_pylist()
    of_data: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_data.setdefault(row["data_hash"], []).append(row)
    return render(
        _HERE,
        "models.html.j2",
        (),
        "page.css",
        {},
        data_sets=[_data_set(found) for found in of_data.values()],
        told=[Row(MEASURES[one.measure], (Cell(_counted(one.every)), Cell(_counted(one.clear)))) for one in tell(rows)],
        models=len(rows),
    )


def _data_set(rows: Sequence[Mapping[str, Any]]) -> DataSet:
    first = rows[0]
    size = f"{count(first['users'])} users, {count(first['items'])} items, {count(first['events'])} events"
    by_model = [_measures(row) for row in rows]
    measures = tuple(Row(label, tuple(cells[label] for cells in by_model)) for label in by_model[0])
    return DataSet(first["data"], size, tuple((row["recommender"], row["run"]) for row in rows), measures)


def _measures(row: Mapping[str, Any]) -> dict[str, Cell]:
    def between(name: str, digits: int, factor: float = 1) -> str:
        return interval([row[f"{name}_lower"], row[f"{name}_upper"]], digits, factor)

    among = row["rarefied_to"]
    return {
        "NDCG@10": Cell(decimal(row["ndcg_10"], 4), between("ndcg_10", 4)),
        "NDCG@10 that is left through the SAE": Cell(share(row["ndcg_10_kept"])),
        "FVU": Cell(decimal(row["fvu"])),
        "Latents that fire": Cell(count(row["latents"])),
        "Interpretable": Cell(count(row["interpretable"]), f"of {count(row['asked'])} asked about"),
        "Their share": Cell(share(row["share"]), between("share", 1, 100)),
        "Controls past the same bar": Cell(count(row["controls"])),
        "Interpretable, if all had been asked about": Cell(count(row["expected"])),
        "Different concepts": Cell(count(row["distinct"])),
        "Effective number of concepts": Cell(decimal(row["effective"], 1)),
        "Different concepts, rarefied": Cell(
            decimal(row["rarefied"], 1), "" if among is None else f"among {count(among)} latents"
        ),
        "Attribute values answered": Cell(count(row["answered"]), f"of {count(row['values'])}"),
        "Latents that answer": Cell(count(row["answering"])),
        "Mean correlation above chance": Cell(decimal(row["correlation"])),
    }


def _counted(tally: PairCounts) -> str:
    """`5 of 9`, and how many are the same."""
    pairs = sum(tally)
    if not pairs:
        return DASH
    return f"{tally.more} of {pairs}" + (f", {tally.same} the same" if tally.same else "")
