"""Joins labels and scores: the candidate chosen for each latent, and whether it is interpretable.

A latent is interpretable if the lower 95 % bound of its confidence lies above the 95th percentile of the shuffled
controls' confidence over all latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from recsae.store.run_store import Committed

CONTROL_PERCENTILE = 95

Row = Mapping[str, Any]
Scores = Mapping[tuple[str, str], Row]
"""A latent's rows of SCORES on score users, by judge and control."""
NO_ROW: Row = {}


class BestCandidate(NamedTuple):
    """The chosen concept of one latent."""

    concept: str
    terms: list[str]
    """Terms of the vocabulary; empty for a free name, which cannot be checked against items."""
    interpretable: bool


def read_chosen(labels: Committed, scores: Committed) -> dict[int, BestCandidate]:
    """The concept of every scored latent."""
    candidates, found = read_labels(labels), read_scores(scores)
    bar = control_bar(found)
    named = chosen_labels(candidates, found)
    return {
        latent: BestCandidate(label["concept"], label["terms"], passes(found[latent].get(("llm", "none")), bar))
        for latent, label in named.items()
    }


def read_labels(labels: Committed) -> dict[int, dict[int, Row]]:
    """Rows of LABELS by latent and candidate."""
    found: dict[int, dict[int, Row]] = {}
    for row in labels.read_table("labels.parquet").to_pylist():
        found.setdefault(row["latent"], {})[row["candidate"]] = row
    return found


def read_scores(scores: Committed) -> dict[int, dict[tuple[str, str], Row]]:
    """Rows of SCORES on score users, by latent, then by judge and control."""
    found: dict[int, dict[tuple[str, str], Row]] = {}
    for row in scores.read_table("scores.parquet").to_pylist():
        if row["part"] == "score":
            found.setdefault(row["latent"], {})[row["judge"], row["control"]] = row
    return found


def chosen_labels(labels: Mapping[int, Mapping[int, Row]], scores: Mapping[int, Scores]) -> dict[int, Row]:
    """The label row of the chosen candidate, for every scored latent."""
    return {latent: labels[latent][found["llm", "none"]["candidate"]] for latent, found in scores.items()}


def control_bar(scores: Mapping[int, Scores]) -> float | None:
    """The 95th percentile of the shuffled controls' confidence over all latents; None without controls."""
    found = [rows["llm", "shuffled"]["confidence"] for rows in scores.values() if ("llm", "shuffled") in rows]
    measured = [value for value in found if value is not None]
    return float(np.percentile(measured, CONTROL_PERCENTILE)) if measured else None


def passes(row: Row | None, bar: float | None) -> bool:
    """Whether the lower bound of a score lies above the bar."""
    lower = row.get("lower") if row else None
    return bar is not None and lower is not None and bool(lower > bar)
