"""Renders the comparison page from the table MODELS: number and diversity of concepts per recommender, by data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recsae.comparison.pairs import MEASURES, PairCounts, compare_pairs
from recsae.text.formatting import DASH, Cell, Row, count, decimal, interval, share
from recsae.text.html import render

_HERE = Path(__file__).parent


class DataSet(NamedTuple):
    """The models trained on the same data, the best recommender first."""

    name: str
    size: str
    models: tuple[tuple[str, str], ...]
    """Recommender and run."""
    measures: tuple[Row, ...]
    """A row per measure, with a cell per model."""


def models_page(models: pa.Table) -> str:
    """The HTML page for a table in the schema MODELS."""
    rows = models.to_pylist()
    by_data: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_data.setdefault(row["data_hash"], []).append(row)
    return render(
        _HERE,
        "models.html.j2",
        (),
        ("base.css", "tables.css"),
        {},
        data_sets=[_data_set(found) for found in by_data.values()],
        comparisons=[
            Row(MEASURES[one.measure], (Cell(_tally(one.every)), Cell(_tally(one.clear))))
            for one in compare_pairs(rows)
        ],
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

    sample = row["rarefied_to"]
    return {
        "NDCG@10": Cell(decimal(row["ndcg_10"], 4), between("ndcg_10", 4)),
        "NDCG@10 kept through the SAE": Cell(share(row["ndcg_10_kept"])),
        "FVU": Cell(decimal(row["fvu"])),
        "Latents that fire": Cell(count(row["latents"])),
        "Median balanced accuracy": Cell(decimal(row["median_confidence"])),
        "At .70 or above": Cell(count(row["at_70"]), share(row["share_70"])),
        "At .75 or above": Cell(count(row["at_75"])),
        "Their share": Cell(share(row["share_75"]), between("share_75", 1, 100)),
        "At .80 or above": Cell(count(row["at_80"]), share(row["share_80"])),
        "Interpretable by the run’s own bar": Cell(
            count(row["interpretable"]), f"bar {decimal(row['bar'])}, {share(row['share'])}"
        ),
        "Controls past that bar": Cell(count(row["controls"])),
        "Names the language model accepts": Cell(
            count(row["judge_accepted"]), f"of {count(row['asked'])} latents asked about"
        ),
        "Different concepts": Cell(count(row["distinct"])),
        "Effective number of concepts": Cell(decimal(row["effective"], 1)),
        "Different concepts, rarefied": Cell(
            decimal(row["rarefied"], 1), "" if sample is None else f"among {count(sample)} latents"
        ),
        "Attribute values with a responding latent": Cell(count(row["answered"]), f"of {count(row['values'])}"),
        "Latents that respond to a value": Cell(count(row["answering"])),
        "Mean correlation above chance": Cell(decimal(row["correlation"])),
    }


def _tally(counts: PairCounts) -> str:
    """`5 of 9`, and the number of ties."""
    pairs = sum(counts)
    if not pairs:
        return DASH
    return f"{counts.more} of {pairs}" + (f", {counts.same} the same" if counts.same else "")
