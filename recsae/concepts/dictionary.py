"""The stage `concepts`: the dictionary, one row for every living latent. It joins what the stages before it found.

`interpretable` holds where the lower 95 % bound of the confidence lies above the 95th percentile of the shuffled
controls over all latents.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from recsae.config import Config
from recsae.data.catalogue import Catalogue
from recsae.schemas import CONCEPTS
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

CONTROL_PERCENTILE = 95


def write_dictionary(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `concepts.parquet`."""
    catalogue = Catalogue.read(inputs["ingest"])
    stats = inputs["evidence"].read_table("latent_stats.parquet").to_pylist()
    labels = {
        (row["latent"], row["candidate"]): row for row in inputs["labels"].read_table("labels.parquet").to_pylist()
    }
    scores: dict[int, dict[tuple[str, str], dict[str, Any]]] = {}
    for row in inputs["scores"].read_table("scores.parquet").to_pylist():
        if row["part"] == "score":
            scores.setdefault(row["latent"], {})[row["judge"], row["control"]] = row
    bar = control_bar(scores)
    shared = {
        "stable_id": None,
        "causal": None,
        "drift": None,
        "view": config.probe.view,
        "model": inputs["labels"].metrics["model"],
        "prompt_version": inputs["labels"].metrics["prompt_version"],
        "fingerprints": sorted((name, found.fingerprint) for name, found in inputs.items()),
    }
    rows = [{**_row(stat, scores.get(stat["latent"], {}), labels, catalogue, bar), **shared} for stat in stats]
    out.write_table("concepts.parquet", pa.Table.from_pylist(rows, CONCEPTS), CONCEPTS)
    interpretable = sum(row["interpretable"] for row in rows)
    passing = sum(passes(found.get(("llm", "shuffled")), bar) for found in scores.values())
    log.info(
        "concepts: %d of %d latents interpretable; %d of %d shuffled controls would pass the same bar",
        interpretable,
        len(rows),
        passing,
        len(scores),
    )
    return {
        "latents": len(rows),
        "scored": len(scores),
        "interpretable": interpretable,
        "shuffled_interpretable": passing,
        "interpretable_bar": bar,
    }


def control_bar(scores: Mapping[int, Mapping[tuple[str, str], Mapping[str, Any]]]) -> float | None:
    """The 95th percentile of the shuffled controls' confidence over all latents."""
    found = [rows["llm", "shuffled"]["confidence"] for rows in scores.values() if ("llm", "shuffled") in rows]
    known = [value for value in found if value is not None]
    return float(np.percentile(known, CONTROL_PERCENTILE)) if known else None


def passes(row: Mapping[str, Any] | None, bar: float | None) -> bool:
    """Whether a score's lower bound lies above the bar."""
    return bar is not None and row is not None and row["lower"] is not None and bool(row["lower"] > bar)


def _row(
    stat: Mapping[str, Any],
    scores: Mapping[tuple[str, str], Mapping[str, Any]],
    labels: Mapping[tuple[int, int], Mapping[str, Any]],
    catalogue: Catalogue,
    bar: float | None,
) -> dict[str, Any]:
    score: Mapping[str, Any] = scores.get(("llm", "none"), {})
    shuffled: Mapping[str, Any] = scores.get(("llm", "shuffled"), {})
    attributes: Mapping[str, Any] = scores.get(("attributes", "none"), {})
    attributes_shuffled: Mapping[str, Any] = scores.get(("attributes", "shuffled"), {})
    latent = stat["latent"]
    label: Mapping[str, Any] = labels[latent, score["candidate"]] if score else {}
    return {
        "latent": latent,
        "name": label.get("concept"),
        "description": label.get("description"),
        "terms": label.get("terms", []),
        "source": label.get("source"),
        "interpretable": passes(score, bar) if score else False,
        "confidence": score.get("confidence"),
        "confidence_lower": score.get("lower"),
        "confidence_upper": score.get("upper"),
        "confidence_shuffled": shuffled.get("confidence"),
        **{name: score.get(name) for name in ("precision", "recall", "f1", "auc", "tp", "fp", "tn", "fn")},
        "near_miss_rate": score.get("near_miss_rate"),
        "attribute_confidence": attributes.get("confidence"),
        "attribute_confidence_shuffled": attributes_shuffled.get("confidence"),
        "attribute_auc": attributes.get("auc"),
        "frequency": stat["frequency"],
        "activations": stat["activations"],
        "maximum": stat["maximum"],
        "top_items": [catalogue.titles[item] for item in stat["top_items"]],
        "top_item_ids": [catalogue.ids[item] for item in stat["top_items"]],
        "evidence_hash": stat["evidence_hash"],
        "status": _status(score, label),
    }


def _status(score: Mapping[str, Any], label: Mapping[str, Any]) -> str:
    if not label:
        return "no candidate could be judged on select users"
    if score.get("lower") is None:
        return "too few cases of score users"
    return "ok"
