"""The page of several runs: how many and how different concepts each recommender holds, by data.

It knows the table MODELS and nothing of stores or runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recsae.comparing.pairs import MEASURES, Tally, tell
from recsae.report.formats import DASH, Cell, Row, count, decimal, interval, number, share
from recsae.report.inline import render

COLUMNS = (
    "NDCG@10",
    "Kept through SAE",
    "FVU",
    "Latents",
    "Interpretable",
    "Share of asked",
    "Controls",
    "Expected in all",
    "Different concepts",
    "Effective number",
    "Rarefied",
    "Attribute values",
    "By different latents",
    "Mean r above chance",
)
_HERE = Path(__file__).parent


class DataSet(NamedTuple):
    """The models of the same data, the best recommender first."""

    name: str
    size: str
    rarefied_to: str
    rows: tuple[Row, ...]


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
        columns=COLUMNS,
        data_sets=[_data_set(found) for found in of_data.values()],
        told=[Row(MEASURES[one.measure], (Cell(_counted(one.every)), Cell(_counted(one.clear)))) for one in tell(rows)],
        models=len(rows),
    )


def _data_set(rows: Sequence[Mapping[str, Any]]) -> DataSet:
    first = rows[0]
    size = f"{count(first['users'])} users, {count(first['items'])} items, {count(first['events'])} events"
    return DataSet(first["data"], size, count(first["rarefied_to"]), tuple(_row(row) for row in rows))


def _row(row: Mapping[str, Any]) -> Row:
    def between(name: str, digits: int, factor: float = 1) -> str:
        return interval([row[f"{name}_lower"], row[f"{name}_upper"]], digits, factor)

    asked = f"of {count(row['asked'])} asked about"
    answered = f"{share(row['answered'], row['values'])} of {count(row['values'])}"
    return Row(
        row["recommender"],
        (
            Cell(decimal(row["ndcg_10"], 4), between("ndcg_10", 4)),
            Cell(share(row["ndcg_10_kept"])),
            Cell(decimal(row["fvu"])),
            Cell(count(row["latents"])),
            Cell(count(row["interpretable"]), asked),
            Cell(share(row["share"]), between("share", 1, 100)),
            Cell(count(row["controls"])),
            Cell(count(row["expected"])),
            Cell(count(row["distinct"])),
            Cell(decimal(row["effective"], 1)),
            Cell(decimal(row["rarefied"], 1)),
            Cell(count(row["answered"]), answered if number(row["values"]) else DASH),
            Cell(count(row["answering"])),
            Cell(decimal(row["correlation"])),
        ),
        row["run"],
    )


def _counted(tally: Tally) -> str:
    """`5 of 9`, and how many are the same."""
    pairs = sum(tally)
    if not pairs:
        return DASH
    return f"{tally.more} of {pairs}" + (f", {tally.same} the same" if tally.same else "")
