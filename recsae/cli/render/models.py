"""The comparison of runs as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from recsae.cli.render import terminal
from recsae.comparison.pairs import MEASURES, compare_pairs
from recsae.text.formatting import decimal, percent
from recsae.text.sanitize import plain


def print_models(models: pa.Table) -> None:
    """Print one row a run, and in how many pairs the better recommender has more."""
    console, rows = terminal.console(), models.to_pylist()
    headings = ("NDCG@10", "latents", "median", "≥ .70", "≥ .75", "≥ .80", "own bar", "different", "rarefied", "mean r")
    table = terminal.table("run", "recommender", "data", figures=headings)
    for row in rows:
        table.add_row(plain(row["run"]), plain(row["recommender"]), plain(row["data"]), *_figures(row))
    console.print(table)
    for one in compare_pairs(rows):
        if sum(one.every):
            clear = f"; in {one.clear.more} of {sum(one.clear)} clear ones" if sum(one.clear) else ""
            pairs = f"{one.every.more} of {sum(one.every)} pairs"
            told = f"{MEASURES[one.measure]}: the better recommender has more in {pairs}{clear}"
            console.print(told, soft_wrap=True)


def _figures(row: Mapping[str, Any]) -> list[str]:
    return [
        decimal(row["ndcg_10"], 4),
        f"{row['latents']:,}",
        decimal(row["median_confidence"], 2),
        *(percent(row[f"share_{level}"]) for level in (70, 75, 80)),
        f"{row['interpretable']:,} at {decimal(row['bar'], 2)}",
        f"{row['distinct']:,}",
        decimal(row["rarefied"], 1),
        decimal(row["correlation"], 3),
    ]
