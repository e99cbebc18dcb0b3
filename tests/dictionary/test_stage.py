"""One row for every alive latent, scored or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.concepts.best_candidate import control_bar, passes
from recsae.config.schema import Config
from recsae.dictionary.stage import CAUSAL, causal_columns, write_dictionary
from recsae.labels import stage
from recsae.schemas.concepts import EVIDENCE, LATENT_STATS, SCORES
from recsae.schemas.steering import STEERING
from recsae.scores import stage as scoring
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.concepts.worlds import (
    coherent,
    firing,
    genres,
    items_by_concept,
    labels_of,
    latents_by_concept,
    matches,
    run_stage,
)
from tests.conftest import N_CONCEPTS, Commit
from tests.scores.fakes import FakePool

Scores = dict[int, dict[tuple[str, str], dict[str, Any]]]


def controls(*values: float | None) -> Scores:
    return {latent: {("llm", "shuffled"): {"confidence": value}} for latent, value in enumerate(values)}


def test_the_bar_is_the_95th_percentile_of_the_controls() -> None:
    values = np.random.default_rng(0).random(101)
    assert control_bar(controls(*values)) == pytest.approx(np.sort(values)[95])
    assert control_bar(controls(0.5, None, 0.7)) == pytest.approx(0.5 + 0.95 * 0.2)
    assert control_bar(controls(None)) is None and control_bar({}) is None
    assert (
        control_bar({0: {("llm", "none"): {"confidence": 0.9}, ("attributes", "shuffled"): {"confidence": 1}}}) is None
    )


def test_a_score_passes_only_above_the_bar() -> None:
    assert passes({"lower": 0.61}, 0.6)
    assert not passes({"lower": 0.6}, 0.6)
    assert not passes({"lower": None}, 0.6)
    assert not passes({"lower": 0.9}, None)
    assert not passes(None, 0.6)


def steering_row(latent: int, strength: float | None, number: float = 0, part: str = "score") -> dict[str, Any]:
    """A row of `steering` whose values all differ; without a strength the latent is ablated."""
    figures = {field.name: number + place for place, field in enumerate(STEERING) if field.type == pa.float64()}
    operation = "add" if strength is not None else "ablate"
    names = {"part": part, "latent": latent, "concept": "", "operation": operation, "users": 1, "cases": 1}
    return {**figures, **names, "strength": strength, "side_concept": None}


def steering(commit: Commit, rows: Sequence[dict[str, Any]] = ()) -> Committed:
    def write(out: Attempt) -> Metrics:
        out.write_table("steering.parquet", pa.Table.from_pylist(list(rows), STEERING), STEERING)
        return {}

    return commit("steering", write)


def dictionary(
    commit: Commit, config: Config, inputs: dict[str, Committed], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[dict[str, Any]], Committed]:
    found = {
        "matching": matches(commit),
        "steering": steering(commit),
        "statistics": coherent(commit),
        **inputs,
        **firing(commit, inputs["ingest"]),
    }
    found["scores"] = run_stage(commit, scoring, scoring.score_concepts, config, found, FakePool(), monkeypatch)
    done = commit("concepts", lambda out: write_dictionary(config, found, out))
    return done.read_table("concepts.parquet").to_pylist(), done


def test_the_stages_from_evidence_to_dictionary_find_the_planted_concepts(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested)}
    inputs["labels"] = run_stage(commit, stage, stage.label_latents, planted_config, inputs, FakePool(), monkeypatch)
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    names = genres(ingested)
    assert [row["latent"] for row in rows] == list(range(N_CONCEPTS))
    for row in rows:
        assert names[row["latent"]] in row["name"] and names[row["latent"]] in row["terms"]
        assert row["interpretable"] and row["status"] == "ok"
        assert row["confidence_shuffled"] < row["confidence_lower"] <= row["confidence"] <= row["confidence_upper"]
        assert row["attribute_confidence"] == 1 and row["attribute_confidence_shuffled"] <= 0.5
        assert row["held_out_confidence"] == row["held_out_precision"] == row["held_out_recall"] == 1
        assert row["confidence_expected"] == pytest.approx(row["confidence"], abs=0.05)
        assert row["coherence"] == row["latent"] / 100
        assert (row["group"], row["group_size"]) == (row["latent"], 1)
        assert row["polysemantic"] is False and row["meanings"] == []
        assert row["description"]
        assert len(row["top_items"]) == len(row["top_item_ids"]) == 2
        assert dict(row["fingerprints"])["ingest"] == ingested.fingerprint
        assert row["stable_id"] == f"c-{row['latent']}" and row["drift"] is None
        assert [row[name] for name in CAUSAL] == [None] * len(CAUSAL)
    assert done.metrics["interpretable"] == N_CONCEPTS and done.metrics["shuffled_interpretable"] == 0
    assert done.metrics["groups"] == done.metrics["at_0.8"] == done.metrics["at_0.9"] == N_CONCEPTS
    assert done.metrics["polysemantic"] == done.metrics["shuffled_at_0.8"] == done.metrics["shuffled_at_0.9"] == 0


def test_latents_without_a_candidate_or_cases_have_a_row_with_the_reason(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    labels = labels_of(commit, ingested, {0: [names[0]], 1: [f"-{names[1]}"], 3: [names[3]]})
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested), "labels": labels}
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["status"] == "ok" for row in rows] == [True, False, False, True]
    assert rows[1]["status"] == "no candidate could be judged on select users" and rows[1]["polysemantic"] is False
    assert rows[2]["status"] == "not in the sample" and rows[2]["polysemantic"] is None
    for row in (rows[1], rows[2]):
        assert row["group"] is None and row["group_size"] == 0
        assert row["terms"] == [] and not row["interpretable"]
        null = ("name", "description", "source", "confidence", "confidence_lower", "auc", "tp", "attribute_auc")
        assert [row[name] for name in null] == [None] * len(null)
        assert row["frequency"] == 0.1 and row["evidence_hash"]
    assert done.metrics["scored"] == 2

    few = latents_by_concept(commit, ingested, parts=("explain", "select"))
    rows, done = dictionary(commit, planted_config, {**inputs, "evidence": few}, monkeypatch)
    assert rows[0]["status"] == "too few cases of score users" and rows[0]["name"] == names[0]
    assert rows[0]["confidence"] is None and not rows[0]["interpretable"]
    assert done.metrics["interpretable"] == 0 and done.metrics["interpretable_bar"] is None


def test_a_handful_of_right_answers_is_not_interpretable(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested, cases=2),
        "labels": labels_of(commit, ingested, {latent: [names[latent]] for latent in range(N_CONCEPTS)}),
    }
    rows, _ = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["confidence"] for row in rows] == [1.0] * N_CONCEPTS
    assert not any(row["interpretable"] for row in rows)
    assert {row["status"] for row in rows} == {"too few cases of score users"}
    assert {row["confidence_lower"] for row in rows} == {None}


def test_latents_with_the_same_concept_form_a_group(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested),
        "labels": labels_of(commit, ingested, {0: [names[0]], 1: [names[1]], 2: [names[0]], 3: ["Some", names[1]]}),
    }
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["name"] for row in rows[:3]] == [names[0], names[1], names[0]]
    assert [row["group"] for row in rows[:3]] == [0, 1, 0]
    assert [row["group_size"] for row in rows[:2]] == [2, 1 + (rows[3]["group"] == 1)]
    assert done.metrics["groups"] == len({row["group"] for row in rows})


def test_a_latent_of_two_concepts_is_marked(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latent 0 fires for items of concepts 0 and 1 alternately, the others for one concept each."""
    names, items = genres(ingested), items_by_concept(ingested)
    table = latents_by_concept(commit, ingested).read_table("evidence.parquet")
    rows = table.to_pylist()
    for row in rows:
        if row["latent"] == 0 and row["role"] in ("top", "level"):
            row["top_idx"] = int(items[row["rank"] % 2][row["rank"] % len(items[0])])
    stats = latents_by_concept(commit, ingested).read_table("latent_stats.parquet")

    def write(out: Attempt) -> Metrics:
        out.write_table("evidence.parquet", pa.Table.from_pylist(rows, EVIDENCE), EVIDENCE)
        out.write_table("latent_stats.parquet", stats, LATENT_STATS)
        return {}

    labels = {0: [names[0], names[1]], **{latent: [names[latent], names[0]] for latent in range(1, N_CONCEPTS)}}
    inputs = {"ingest": ingested, "evidence": commit("evidence", write), "labels": labels_of(commit, ingested, labels)}
    found, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["polysemantic"] for row in found] == [True, False, False, False]
    assert found[0]["meanings"] == names[:2] and done.metrics["polysemantic"] == 1


def test_every_score_is_in_its_column(commit: Commit, ingested: Committed, planted_config: Config) -> None:
    """Rows whose values all differ, including rows on select users, which no column reads."""
    figures = ("precision", "recall", "f1", "auc", "confidence", "lower", "upper", "expected", "near_miss_rate")
    columns = (*figures, "near_direction_rate")
    judged = [
        (judge, control) for judge in ("llm", "attributes", "held_out", "recsae") for control in ("none", "shuffled")
    ]
    rows = []
    for number, (part, (judge, control)) in enumerate((part, one) for part in ("score", "select") for one in judged):
        values = {name: number / 16 + place / 1000 for place, name in enumerate(columns)}
        counts = {"tp": number + 1, "fp": 1, "tn": 3, "fn": number + 2}
        names = {"latent": 0, "candidate": 0, "concept": "", "part": part, "judge": judge, "control": control}
        rows.append({**names, **counts, **values, "centre": None})
    labels = labels_of(commit, ingested, {0: [genres(ingested)[0]]})

    def write(out: Attempt) -> Metrics:
        out.write_table("scores.parquet", pa.Table.from_pylist(rows, SCORES), SCORES)
        return {}

    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested), "labels": labels}
    inputs |= {"scores": commit("scores", write), "statistics": coherent(commit), "steering": steering(commit)}
    inputs["matching"] = matches(commit)
    done = commit("concepts", lambda out: write_dictionary(planted_config, inputs, out))
    found = done.read_table("concepts.parquet").to_pylist()[0]
    by_name = {(row["judge"], row["control"]): row for row in rows if row["part"] == "score"}
    for column, (judge, control, name) in {
        "confidence": ("llm", "none", "confidence"),
        "confidence_lower": ("llm", "none", "lower"),
        "confidence_upper": ("llm", "none", "upper"),
        "confidence_expected": ("llm", "none", "expected"),
        "confidence_shuffled": ("llm", "shuffled", "confidence"),
        **{name: ("llm", "none", name) for name in ("precision", "recall", "f1", "auc", "tp", "fp", "tn", "fn")},
        "near_miss_rate": ("llm", "none", "near_miss_rate"),
        "near_direction_rate": ("llm", "none", "near_direction_rate"),
        "attribute_confidence": ("attributes", "none", "confidence"),
        "attribute_confidence_shuffled": ("attributes", "shuffled", "confidence"),
        "attribute_auc": ("attributes", "none", "auc"),
        "held_out_confidence": ("held_out", "none", "confidence"),
        "held_out_precision": ("held_out", "none", "precision"),
        "held_out_recall": ("held_out", "none", "recall"),
        "recsae_confidence": ("recsae", "none", "confidence"),
        "recsae_recall": ("recsae", "none", "recall"),
    }.items():
        assert found[column] == by_name[judge, control][name], column
    assert found["recsae_true_negative_rate"] == 3 / 4


def test_the_effect_of_steering_is_in_the_latents_row(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the reference strength, on score users; latent 3 is not steered."""
    reference = planted_config.steering.reference
    rows = [
        *(steering_row(latent, reference, 100 * (1 + latent)) for latent in (2, 0, 1)),
        *(steering_row(0, strength, 1000) for strength in (-reference, 2 * reference)),
        steering_row(0, None, 2000),
        *(steering_row(0, strength, 3000, "select") for strength in (reference, None)),
    ]
    labels = labels_of(commit, ingested, {latent: [name] for latent, name in enumerate(genres(ingested))})
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested), "labels": labels}
    found, _ = dictionary(commit, planted_config, inputs | {"steering": steering(commit, rows)}, monkeypatch)
    sources = {
        "causal": "share_change",
        "causal_lower": "share_lower",
        "causal_upper": "share_upper",
        "causal_null": "null_upper",
        "causal_probe": "probe_share_change",
    }
    for latent in range(3):
        assert {name: found[latent][name] for name in sources} == {
            name: steering_row(latent, reference, 100 * (1 + latent))[column] for name, column in sources.items()
        }
    assert found[0]["causal_ablation"] == steering_row(0, None, 2000)["share_change"]
    assert found[1]["causal_ablation"] is found[2]["causal_ablation"] is None
    assert [found[3][name] for name in CAUSAL] == [None] * 6
    assert "steering" in dict(found[0]["fingerprints"])


def test_the_items_side_has_no_probe_and_row_order_does_not_matter() -> None:
    scaled = steering_row(5, 0.25, 10) | {"operation": "scale", "probe_share_change": None}
    rows = [scaled, steering_row(5, None, 20), steering_row(5, 0.5, 30), steering_row(5, 0.25, 40, "select")]
    found = causal_columns(rows, 0.25)
    assert found == causal_columns(rows[::-1], 0.25) and list(found) == [5]
    assert found[5]["causal"] == scaled["share_change"] and found[5]["causal_probe"] is None
    assert found[5]["causal_ablation"] == rows[1]["share_change"]
    assert causal_columns([], 0.25) == {}


def test_without_alive_latents_the_dictionary_is_empty(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested, 0)}
    inputs["labels"] = run_stage(commit, stage, stage.label_latents, planted_config, inputs, FakePool(), monkeypatch)
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert rows == [] and done.metrics["interpretable"] == 0
