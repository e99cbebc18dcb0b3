"""The few metrics that sum a stage up, and the number of rows it wrote, from what it committed.

A metric that is missing or not finite is left out. An unknown stage is summed up by its first metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from recsae.store.run_store import Committed
from recsae.text.formatting import look_up, number

Path = tuple[str, ...]

TELLING: Mapping[str, Mapping[str, Path]] = {
    "ingest": {"users": ("users",), "items": ("items",), "events": ("events",), "cases": ("cases",)},
    "recommender": {"ndcg_10": ("test", "ndcg@10"), "hr_10": ("test", "hr@10"), "epochs": ("epochs",)},
    "activations": {
        "cases": ("cases",),
        "cases_per_second": ("cases_per_second",),
        "search_recall": ("search_recall",),
    },
    "sae": {
        "fvu": ("fvu",),
        "l0": ("l0",),
        "dead_share": ("dead_share",),
        "ndcg_10_kept": ("fidelity", "rows", "sae", "ndcg@10_kept"),
    },
    "matching": {"latents": ("latents",), "matched": ("matched",), "similarity": ("similarity",)},
    "evidence": {"alive": ("alive",), "cases": ("cases",), "cases_per_second": ("cases_per_second",)},
    "statistics": {
        "coherence": ("coherence", "sae", "within_centred"),
        "cases_per_second": ("cases_per_second",),
    },
    "labels": {
        "latents": ("latents",),
        "carried": ("carried",),
        "candidates": ("candidates",),
        "requests": ("requests",),
        "tokens": ("tokens",),
        "failed_rows": ("failed",),
    },
    "scores": {
        "scored": ("scored",),
        "judge_auc": ("judge_auc",),
        "requests": ("prompts",),
        "tokens": ("tokens",),
        "failed_rows": ("failed",),
    },
    "steering": {"latents": ("latents",), "concepts": ("concepts",), "above_null": ("above_null",)},
    "concepts": {
        "latents": ("latents",),
        "scored": ("scored",),
        "interpretable": ("interpretable",),
        "polysemantic": ("polysemantic",),
    },
    "report": {},
}
"""By stage: what a figure is called, and where it stands in the stage's metrics."""
ROWS: Mapping[str, str] = {
    "ingest": "events",
    "activations": "cases",
    "matching": "latents",
    "concepts": "latents",
    "report": "rows",
}
"""Metrics that are a number of rows. Of other stages the table of the stage's name is asked."""
OTHERWISE = 4
"""Figures of a stage that is not known here."""


def headline(stage: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The telling figures of a stage, by name."""
    paths = TELLING.get(stage, {name: (name,) for name in metrics})
    found = {name: number(look_up(metrics, *path)) for name, path in paths.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return known if stage in TELLING else dict(list(known.items())[:OTHERWISE])


def rows(done: Committed) -> int | None:
    """Rows that a stage wrote, or None where it has no table of its own. A damaged file raises what pyarrow raises."""
    stage = str(done.manifest["stage"])
    told = number(done.metrics.get(ROWS[stage])) if stage in ROWS else None
    if told is not None:
        return int(told)
    name = f"{stage}.parquet"
    if name not in done.files():
        return None
    with done.data.open_input(name) as source:
        return int(pq.ParquetFile(source).metadata.num_rows)


def size(done: Committed) -> int:
    """Bytes that a stage wrote."""
    return sum(int(file["bytes"]) for file in done.manifest["files"])
