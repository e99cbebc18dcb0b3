"""The headline metrics, rows and bytes of a committed stage.

Missing and non-finite metrics are left out. An unknown stage is summarized by its first metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from recsae.store.run_store import Committed
from recsae.text.formatting import look_up, number

Path = tuple[str, ...]

HEADLINES: Mapping[str, Mapping[str, Path]] = {
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
    "statements": {
        "accepted": ("accepted",),
        "median_confidence": ("median_confidence",),
        "median_unseen": ("median_unseen",),
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
        "statements": ("statements",),
    },
    "report": {},
}
"""By stage: name of each headline metric, and its path in the stage's metrics."""
ROW_METRICS: Mapping[str, str] = {
    "ingest": "events",
    "activations": "cases",
    "matching": "latents",
    "concepts": "latents",
    "report": "rows",
}
"""Metrics that count a stage's rows. For other stages rows are counted in `<stage>.parquet`."""
FALLBACK_METRICS = 4
"""Number of metrics shown for an unknown stage."""


def headline(stage: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The headline metrics of a stage, by name."""
    paths = HEADLINES.get(stage, {name: (name,) for name in metrics})
    found = {name: number(look_up(metrics, *path)) for name, path in paths.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return known if stage in HEADLINES else dict(list(known.items())[:FALLBACK_METRICS])


def rows(done: Committed) -> int | None:
    """Rows that a stage wrote; None if it has no table of its own. Raises pyarrow's error for a damaged file."""
    stage = str(done.manifest["stage"])
    counted = number(done.metrics.get(ROW_METRICS[stage])) if stage in ROW_METRICS else None
    if counted is not None:
        return int(counted)
    name = f"{stage}.parquet"
    if name not in done.files():
        return None
    with done.data.open_input(name) as source:
        return int(pq.ParquetFile(source).metadata.num_rows)


def size(done: Committed) -> int:
    """Bytes that a stage wrote."""
    return sum(int(file["bytes"]) for file in done.manifest["files"])
