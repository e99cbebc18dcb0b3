"""The stage `concepts`: the dictionary, one row for every living latent. It joins what the stages before it found.

`interpretable` holds where the lower 95 % bound of the confidence lies above the 95th percentile of the shuffled
controls over all latents.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from recsae.concepts import grouping, terms
from recsae.concepts.candidates import Usage
from recsae.concepts.cases import LatentCases, read_cases
from recsae.concepts.measures import Counts
from recsae.config import Config
from recsae.data.catalogue import Catalogue
from recsae.schemas_concepts import CONCEPTS
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

CONTROL_PERCENTILE = 95
LEVELS = (0.8, 0.9)
"""Of confidence, at which latents are counted as RecSAE counts them."""

Row = Mapping[str, Any]
Scores = Mapping[tuple[str, str], Row]
"""A latent's rows on score users, by judge and control."""
NO_ROW: Row = {}


def write_dictionary(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `concepts.parquet`."""
    catalogue = Catalogue.read(inputs["ingest"])
    stats = inputs["evidence"].read_table("latent_stats.parquet").to_pylist()
    labels = _labels(inputs["labels"])
    scores = _scores(inputs["scores"])
    coherent = inputs["statistics"].read_table("coherence.parquet", ["code", "latent", "within"]).to_pylist()
    within = {row["latent"]: row["within"] for row in coherent if row["code"] == "sae"}
    named = {latent: labels[latent][found["llm", "none"]["candidate"]] for latent, found in scores.items()}
    leader = grouping.groups({latent: (label["concept"], label["terms"]) for latent, label in named.items()})
    sizes = Counter(leader.values())
    meanings = _meanings(labels, named, read_cases(inputs["evidence"], config.probe.view), catalogue)
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
    rows = []
    for stat in stats:
        latent = stat["latent"]
        label, score = named.get(latent, NO_ROW), scores.get(latent, {})
        rows.append(
            {
                **_evidence_columns(stat, catalogue),
                **_score_columns(score, bar),
                **shared,
                "name": label.get("concept"),
                "description": label.get("description"),
                "terms": label.get("terms", []),
                "source": label.get("source"),
                "group": leader.get(latent),
                "group_size": sizes[leader[latent]] if latent in leader else 0,
                "polysemantic": bool(meanings[latent]) if latent in meanings else None,
                "meanings": meanings.get(latent, []),
                "coherence": within.get(latent),
                "status": _status(latent in labels, score.get(("llm", "none"), NO_ROW)),
            }
        )
    out.write_table("concepts.parquet", pa.Table.from_pylist(rows, CONCEPTS), CONCEPTS)
    found = _metrics(rows, scores, bar)
    log.info(
        "concepts: %d of %d latents interpretable; %d of %d shuffled controls would pass the same bar",
        found["interpretable"],
        found["latents"],
        found["shuffled_interpretable"],
        found["scored"],
    )
    return found


def control_bar(scores: Mapping[int, Scores]) -> float | None:
    """The 95th percentile of the shuffled controls' confidence over all latents."""
    found = [rows["llm", "shuffled"]["confidence"] for rows in scores.values() if ("llm", "shuffled") in rows]
    known = [value for value in found if value is not None]
    return float(np.percentile(known, CONTROL_PERCENTILE)) if known else None


def passes(row: Row | None, bar: float | None) -> bool:
    """Whether a score's lower bound lies above the bar."""
    lower = row.get("lower") if row else None
    return bar is not None and lower is not None and bool(lower > bar)


def _labels(labels: Committed) -> dict[int, dict[int, Row]]:
    """By latent and candidate."""
    found: dict[int, dict[int, Row]] = {}
    for row in labels.read_table("labels.parquet").to_pylist():
        found.setdefault(row["latent"], {})[row["candidate"]] = row
    return found


def _scores(scores: Committed) -> dict[int, dict[tuple[str, str], Row]]:
    found: dict[int, dict[tuple[str, str], Row]] = {}
    for row in scores.read_table("scores.parquet").to_pylist():
        if row["part"] == "score":
            found.setdefault(row["latent"], {})[row["judge"], row["control"]] = row
    return found


def _meanings(
    labels: Mapping[int, Mapping[int, Row]],
    named: Mapping[int, Row],
    evidence: Mapping[int, LatentCases],
    catalogue: Catalogue,
) -> dict[int, list[str]]:
    """For every labelled latent the two terms that it stands for, or none."""
    vocabulary = terms.build(catalogue)
    usage = Usage(vocabulary, catalogue.popularity)
    found = {}
    for latent, candidates in labels.items():
        own = vocabulary.columns(
            [term for row in candidates.values() if row["source"] == "terms" for term in row["terms"]]
        )
        chosen = vocabulary.columns(named.get(latent, NO_ROW).get("terms", []))
        pair = grouping.meanings(evidence[latent], own, chosen, vocabulary.bears, lambda column: usage.share((column,)))
        found[latent] = [vocabulary.terms[column] for column in pair or ()]
    return found


def _evidence_columns(stat: Row, catalogue: Catalogue) -> dict[str, Any]:
    return {
        **{name: stat[name] for name in ("latent", "frequency", "activations", "maximum", "evidence_hash")},
        "top_items": [catalogue.titles[item] for item in stat["top_items"]],
        "top_item_ids": [catalogue.ids[item] for item in stat["top_items"]],
    }


def _score_columns(scores: Scores, bar: float | None) -> dict[str, Any]:
    score, shuffled = scores.get(("llm", "none"), NO_ROW), scores.get(("llm", "shuffled"), NO_ROW)
    attributes, held_out = scores.get(("attributes", "none"), NO_ROW), scores.get(("held_out", "none"), NO_ROW)
    recsae = scores.get(("recsae", "none"), NO_ROW)
    return {
        "interpretable": passes(score, bar),
        "confidence": score.get("confidence"),
        "confidence_lower": score.get("lower"),
        "confidence_upper": score.get("upper"),
        "confidence_expected": score.get("expected"),
        "confidence_shuffled": shuffled.get("confidence"),
        **{name: score.get(name) for name in ("precision", "recall", "f1", "auc", "tp", "fp", "tn", "fn")},
        "near_miss_rate": score.get("near_miss_rate"),
        "near_direction_rate": score.get("near_direction_rate"),
        "attribute_confidence": attributes.get("confidence"),
        "attribute_confidence_shuffled": scores.get(("attributes", "shuffled"), NO_ROW).get("confidence"),
        "attribute_auc": attributes.get("auc"),
        "held_out_confidence": held_out.get("confidence"),
        "held_out_precision": held_out.get("precision"),
        "held_out_recall": held_out.get("recall"),
        "recsae_confidence": recsae.get("confidence"),
        "recsae_recall": recsae.get("recall"),
        "recsae_true_negative_rate": (
            Counts(*(recsae[name] for name in Counts._fields)).true_negative_rate if recsae else None
        ),
    }


def _status(labelled: bool, score: Row) -> str:
    if not labelled:
        return "not in the sample"
    if not score:
        return "no candidate could be judged on select users"
    if score["lower"] is None:
        return "too few cases of score users"
    return "ok"


def _metrics(rows: list[dict[str, Any]], scores: Mapping[int, Scores], bar: float | None) -> Metrics:
    def at(column: str, level: float) -> int:
        return sum(row[column] is not None and row[column] >= level for row in rows)

    return {
        "latents": len(rows),
        "scored": len(scores),
        "interpretable": sum(row["interpretable"] for row in rows),
        "shuffled_interpretable": sum(passes(found.get(("llm", "shuffled")), bar) for found in scores.values()),
        "interpretable_bar": bar,
        **{f"at_{level}": at("confidence", level) for level in LEVELS},
        **{f"shuffled_at_{level}": at("confidence_shuffled", level) for level in LEVELS},
        "groups": len({row["group"] for row in rows if row["group"] is not None}),
        "polysemantic": sum(bool(row["polysemantic"]) for row in rows),
    }
