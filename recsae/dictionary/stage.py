"""The stage `concepts`: the dictionary, one row per alive latent, and its changes since last night.

It joins the results of the stages before it. best_candidate.py decides whether a latent is interpretable.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from recsae.concepts import grouping
from recsae.concepts.best_candidate import (
    NO_ROW,
    Row,
    Scores,
    chosen_labels,
    control_bar,
    passes,
    read_labels,
    read_scores,
)
from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.dictionary import drift
from recsae.evidence.cases import LatentCases, read_cases
from recsae.labels.candidates import Usage
from recsae.schemas.concepts import CONCEPTS, NOT_ASKED
from recsae.schemas.nightly import CHANGES, DRIFT, HISTORY
from recsae.stats.classification import ConfusionCounts
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)

CAUSAL = {
    "causal": "share_change",
    "causal_lower": "share_lower",
    "causal_upper": "share_upper",
    "causal_null": "null_upper",
    "causal_probe": "probe_share_change",
    "causal_ablation": None,
}
"""Columns of the dictionary and their source columns in `steering`."""
LEVELS = (0.8, 0.9)
"""Confidence thresholds at which latents are counted, as RecSAE does."""


def write_dictionary(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `concepts.parquet`, `drift.parquet` (empty on the first night) and `history.parquet` (empty without
    `nights`)."""
    catalogue = Catalogue.read(inputs["ingest"])
    stats = inputs["evidence"].read_table("latent_stats.parquet").to_pylist()
    labels = read_labels(inputs["labels"])
    scores = read_scores(inputs["scores"])
    coherent = inputs["statistics"].read_table("coherence.parquet", ["code", "latent", "within"]).to_pylist()
    within = {row["latent"]: row["within"] for row in coherent if row["code"] == "sae"}
    chosen_rows = chosen_labels(labels, scores)
    group_of = grouping.groups({latent: (label["concept"], label["terms"]) for latent, label in chosen_rows.items()})
    sizes = Counter(group_of.values())
    meanings = _meanings(labels, chosen_rows, read_cases(inputs["evidence"], config.probe.view), catalogue)
    bar = control_bar(scores)
    causal = causal_columns(inputs["steering"].read_table("steering.parquet").to_pylist(), config.steering.reference)
    shared = {
        "view": config.probe.view,
        "model": inputs["labels"].metrics["model"],
        "prompt_version": inputs["labels"].metrics["prompt_version"],
        "fingerprints": sorted((name, found.fingerprint) for name, found in inputs.items()),
    }
    matches = {row["latent"]: row for row in inputs["matching"].read_table("matches.parquet").to_pylist()}
    rows = []
    for stat in stats:
        latent = stat["latent"]
        label, score = chosen_rows.get(latent, NO_ROW), scores.get(latent, {})
        rows.append(
            {
                **_evidence_columns(stat, catalogue),
                **_score_columns(score, bar),
                **causal.get(latent, dict.fromkeys(CAUSAL)),
                **shared,
                "stable_id": matches[latent]["stable_id"],
                "drift": None,
                "name": label.get("concept"),
                "description": label.get("description"),
                "terms": label.get("terms", []),
                "source": label.get("source"),
                "group": group_of.get(latent),
                "group_size": sizes[group_of[latent]] if latent in group_of else 0,
                "polysemantic": bool(meanings[latent]) if latent in meanings else None,
                "meanings": meanings.get(latent, []),
                "coherence": within.get(latent),
                "status": _status(latent in labels, score.get(("llm", "none"), NO_ROW)),
            }
        )
    changes = _drift(config, inputs, rows, matches)
    for row, change in zip(rows, changes, strict=False):
        row["drift"] = change["change"]
    out.write_table("concepts.parquet", pa.Table.from_pylist(rows, CONCEPTS), CONCEPTS)
    out.write_table("drift.parquet", pa.Table.from_pylist(changes, DRIFT), DRIFT)
    last = inputs.get(PREVIOUS + "concepts")
    last_history = last.read_table("history.parquet") if last and last.files("history") else None
    out.write_table("history.parquet", drift.history(rows if config.nights else [], last_history), HISTORY)
    found = _metrics(rows, scores, bar) | ({"drift": drift.drift_metrics(changes)} if changes else {})
    log.info(
        "concepts: %d of %d latents interpretable; %d of %d shuffled controls would pass the same bar",
        found["interpretable"],
        found["latents"],
        found["shuffled_interpretable"],
        found["scored"],
    )
    if changes:
        log.info("concepts: since last night %s", ", ".join(f"{found['drift'][name]} {name}" for name in CHANGES))
    return found


def _drift(
    config: Config, inputs: Mapping[str, Committed], rows: list[dict[str, Any]], matches: Mapping[int, Row]
) -> list[dict[str, Any]]:
    """Rows of DRIFT, those of `rows` first and in the same order; empty on the first night."""
    if PREVIOUS + "concepts" not in inputs or config.nights is None:
        return []
    last = inputs[PREVIOUS + "concepts"].read_table("concepts.parquet").to_pylist()
    labelled = {row["latent"]: row for row in inputs["labels"].read_table("labelled.parquet").to_pylist()}
    return drift.compare(rows, last, matches, labelled, config.nights.label_reuse_jaccard)


def _meanings(
    labels: Mapping[int, Mapping[int, Row]],
    chosen_rows: Mapping[int, Row],
    evidence: Mapping[int, LatentCases],
    catalogue: Catalogue,
) -> dict[int, list[str]]:
    """For every labelled latent, its two meanings, or an empty list."""
    vocabulary = terms.build(catalogue)
    usage = Usage(vocabulary, catalogue.popularity)
    found = {}
    for latent, candidates in labels.items():
        own = vocabulary.columns(
            [term for row in candidates.values() if row["source"] == "terms" for term in row["terms"]]
        )
        chosen = vocabulary.columns(chosen_rows.get(latent, NO_ROW).get("terms", []))
        pair = grouping.meanings(
            evidence[latent], own, chosen, vocabulary.item_terms, lambda column: usage.share((column,))
        )
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
            ConfusionCounts(*(recsae[name] for name in ConfusionCounts._fields)).true_negative_rate if recsae else None
        ),
    }


def causal_columns(steering: list[dict[str, Any]], reference: float) -> dict[int, dict[str, float | None]]:
    """The causal columns of every steered latent: the effect of steering it, on score users."""
    found: dict[int, dict[str, float | None]] = {}
    for row in steering:
        if row["part"] != "score":
            continue
        columns = found.setdefault(row["latent"], dict.fromkeys(CAUSAL))
        if row["operation"] == "ablate":
            columns["causal_ablation"] = row["share_change"]
        elif row["strength"] == reference:
            columns |= {column: row[name] for column, name in CAUSAL.items() if name}
    return found


def _status(labelled: bool, score: Row) -> str:
    if not labelled:
        return NOT_ASKED
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
