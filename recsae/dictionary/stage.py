"""The stage `concepts`: the dictionary, one row per alive latent, and its changes since last night.

It joins the results of the stages before it. best_candidate.py decides which class a latent is in and names it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from recsae.concepts import described, grouping
from recsae.concepts.best_candidate import (
    NO_ROW,
    Row,
    Scores,
    choose,
    chosen_labels,
    control_bar,
    passes,
    read_effects,
    read_labels,
    read_scores,
)
from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.dictionary import drift
from recsae.dictionary.columns import CAUSAL, EFFECT, causal_columns, evidence_columns, judge_columns, statement_columns
from recsae.evidence.cases import LatentCases, read_cases
from recsae.labels.candidates import Usage
from recsae.schemas.concepts import CONCEPTS, INTERPRETABLE, KINDS, NOT_ASKED
from recsae.schemas.nightly import CHANGES, DRIFT, HISTORY
from recsae.statements import features
from recsae.statements.features import ItemFeatures
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)

LEVELS = (0.7, 0.75, 0.8, 0.9)
"""Confidence thresholds at which latents are counted."""


def write_dictionary(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `concepts.parquet`, `drift.parquet` (empty on the first night) and `history.parquet` (empty without
    `nights`)."""
    catalogue = Catalogue.read(inputs["ingest"])
    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    item_features = features.read(catalogue, inputs["statements"])
    stats = inputs["evidence"].read_table("latent_stats.parquet").to_pylist()
    labels, scores = read_labels(inputs["labels"]), read_scores(inputs["scores"])
    judged = chosen_labels(labels, scores)
    found = described.read_found(inputs["statements"])
    chosen = choose(inputs, catalogue, item_features)
    captions, effects = _captions(inputs["labels"]), read_effects(inputs["statements"])
    coherent = inputs["statistics"].read_table("coherence.parquet", ["code", "latent", "within"]).to_pylist()
    within = {row["latent"]: row["within"] for row in coherent if row["code"] == "sae"}
    evidence = read_cases(inputs["evidence"], config.probe.view)
    meanings = _meanings(labels, judged, evidence, item_features.vocabulary, catalogue)
    causal = causal_columns(inputs["steering"].read_table("steering.parquet").to_pylist(), config.steering.reference)
    shared = {
        "view": config.probe.view,
        "model": inputs["labels"].metrics["model"],
        "prompt_version": inputs["labels"].metrics["prompt_version"],
        "fingerprints": sorted((name, one.fingerprint) for name, one in inputs.items()),
    }
    matches = {row["latent"]: row for row in inputs["matching"].read_table("matches.parquet").to_pylist()}
    rows = []
    for stat in stats:
        latent = stat["latent"]
        one, label = chosen[latent], judged.get(latent, NO_ROW)
        rows.append(
            {
                **evidence_columns(stat, catalogue),
                **statement_columns(one, found.rows[latent], found.contestants.get(latent, ()), titles),
                **judge_columns(label, scores.get(latent, {}), latent in labels),
                **{name: effects.get(latent, NO_ROW).get(name) for name in EFFECT},
                **causal.get(latent, dict.fromkeys(CAUSAL)),
                **shared,
                "stable_id": matches[latent]["stable_id"],
                "drift": None,
                "caption": captions.get(latent),
                "description": label.get("description") if one.kind == "free text" else None,
                "polysemantic": bool(meanings[latent]) if latent in meanings else None,
                "meanings": meanings.get(latent, []),
                "coherence": within.get(latent),
            }
        )
    changes = _drift(config, inputs, rows, matches, item_features)
    for row, change in zip(rows, changes, strict=False):
        row["drift"] = change["change"]
    out.write_table("concepts.parquet", pa.Table.from_pylist(rows, CONCEPTS), CONCEPTS)
    out.write_table("drift.parquet", pa.Table.from_pylist(changes, DRIFT), DRIFT)
    last = inputs.get(PREVIOUS + "concepts")
    last_history = last.read_table("history.parquet") if last and last.files("history") else None
    out.write_table("history.parquet", drift.history(rows if config.nights else [], last_history), HISTORY)
    metrics = _metrics(rows, inputs["statements"].metrics, scores)
    log.info("concepts: %s", summary(metrics))
    if changes:
        told = metrics["drift"] = drift.drift_metrics(changes)
        log.info(
            "concepts: since last night %s; %d lost their tick, %d gained one; of %d latents without one %d are kept",
            ", ".join(f"{told[name]} {name}" for name in CHANGES),
            told["lost"],
            told["gained"],
            sum(told["unnamed"].values()),
            told["unnamed"]["kept"],
        )
    return metrics


def summary(metrics: Metrics) -> str:
    """`121 of 128 latents interpretable (22 formula, 85 item set, …); …`: how many there are, of how many."""
    kinds = ", ".join(f"{metrics['kinds'][kind]} {kind}" for kind in INTERPRETABLE if metrics["kinds"][kind])
    return (
        f"{metrics['interpretable']} of {metrics['latents']} latents interpretable ({kinds or 'of no kind'}); "
        f"{metrics['shuffled_interpretable']} of {metrics['shuffled']} shuffled controls pass the same bar; "
        f"the language model accepts {metrics['judge_accepted']} of {metrics['judged']} names that it judged"
    )


def _captions(labels: Committed) -> dict[int, str]:
    """The captions that hold, by latent."""
    if not labels.files("captions"):
        return {}
    rows = labels.read_table("captions.parquet", ["latent", "caption", "kept"]).to_pylist()
    return {row["latent"]: row["caption"] for row in rows if row["kept"]}


def _drift(
    config: Config,
    inputs: Mapping[str, Committed],
    rows: list[dict[str, Any]],
    matches: Mapping[int, Row],
    tonight: ItemFeatures,
) -> list[dict[str, Any]]:
    """Rows of DRIFT, those of `rows` first and in the same order; empty on the first night."""
    if PREVIOUS + "concepts" not in inputs or config.nights is None:
        return []
    last = inputs[PREVIOUS + "concepts"].read_table("concepts.parquet").to_pylist()
    then = features.read(Catalogue.read(inputs[PREVIOUS + "ingest"]), inputs[PREVIOUS + "statements"])
    members = drift.Members(tonight, then)
    return drift.compare(rows, last, matches, members.jaccard, config.nights.label_reuse_jaccard)


def _meanings(
    labels: Mapping[int, Mapping[int, Row]],
    judged: Mapping[int, Row],
    evidence: Mapping[int, LatentCases],
    vocabulary: Vocabulary,
    catalogue: Catalogue,
) -> dict[int, list[str]]:
    """For every labelled latent, its two meanings, or an empty list."""
    usage = Usage(vocabulary, catalogue.popularity)
    found = {}
    for latent, candidates in labels.items():
        own = vocabulary.columns(
            [term for row in candidates.values() if row["source"] == "terms" for term in row["terms"]]
        )
        chosen = vocabulary.columns(judged.get(latent, NO_ROW).get("terms", []))
        pair = grouping.meanings(
            evidence[latent], own, chosen, vocabulary.item_terms, lambda column: usage.share((column,))
        )
        found[latent] = [vocabulary.terms[column] for column in pair or ()]
    return found


def _metrics(rows: Sequence[Row], statements: Metrics, scores: Mapping[int, Scores]) -> Metrics:
    """Counts over the dictionary; `judged` and `judge_accepted` are of the sample that the language model was asked."""
    kinds = Counter(row["kind"] for row in rows)
    bar = control_bar(scores)

    def at(column: str, level: float) -> int:
        return sum(row[column] is not None and row[column] >= level for row in rows)

    return {
        "latents": len(rows),
        "scored": sum(row["confidence"] is not None for row in rows),
        "interpretable": sum(row["interpretable"] for row in rows),
        "kinds": {kind: kinds[kind] for kind in KINDS},
        "shuffled": statements["shuffled"],
        "shuffled_interpretable": statements["shuffled_accepted"],
        "interpretable_bar": statements["bar"],
        **{f"at_{level}": at("confidence", level) for level in LEVELS},
        **{f"shuffled_at_{level}": at("confidence_shuffled", level) for level in LEVELS},
        "statements": len({row["statement"] for row in rows if row["interpretable"]}),
        "groups": len({row["group"] for row in rows if row["group"] is not None}),
        "asked": sum(row["judge_status"] != NOT_ASKED for row in rows),
        "judged": len(scores),
        "judge_accepted": sum(passes(found.get(("llm", "none")), bar) for found in scores.values()),
        "judge_shuffled_accepted": sum(passes(found.get(("llm", "shuffled")), bar) for found in scores.values()),
        "judge_bar": bar,
        "polysemantic": sum(bool(row["polysemantic"]) for row in rows),
    }
