"""One row for every living latent, whatever became of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsae.concepts import labelling, scoring
from recsae.concepts.dictionary import control_bar, passes, write_dictionary
from recsae.config import Config
from recsae.store.runs import Committed
from tests.concepts.fakes import FakePool
from tests.concepts.test_scoring import labels_of
from tests.concepts.worlds import genres, latents_by_concept, run_stage
from tests.conftest import N_CONCEPTS, Commit

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


def dictionary(
    commit: Commit, config: Config, inputs: dict[str, Committed], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[dict[str, Any]], Committed]:
    scores = run_stage(commit, scoring, scoring.score_concepts, config, inputs, FakePool(), monkeypatch)
    found = {**inputs, "scores": scores}
    done = commit("concepts", lambda out: write_dictionary(config, found, out))
    return done.read_table("concepts.parquet").to_pylist(), done


def test_the_line_from_evidence_to_dictionary_names_what_is_planted(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested)}
    inputs["labels"] = run_stage(
        commit, labelling, labelling.label_latents, planted_config, inputs, FakePool(), monkeypatch
    )
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    names = genres(ingested)
    assert [row["latent"] for row in rows] == list(range(N_CONCEPTS))
    for row in rows:
        assert names[row["latent"]] in row["name"] and names[row["latent"]] in row["terms"]
        assert row["interpretable"] and row["status"] == "ok"
        assert row["confidence_shuffled"] < row["confidence_lower"] <= row["confidence"] <= row["confidence_upper"]
        assert row["attribute_confidence"] == 1 and row["attribute_confidence_shuffled"] <= 0.5
        assert row["description"]
        assert len(row["top_items"]) == len(row["top_item_ids"]) == 2
        assert dict(row["fingerprints"])["ingest"] == ingested.fingerprint
        assert row["stable_id"] is row["causal"] is row["drift"] is None
    assert done.metrics["interpretable"] == N_CONCEPTS and done.metrics["shuffled_interpretable"] == 0


def test_latents_without_a_candidate_or_without_cases_have_a_row_that_says_so(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    labels = labels_of(commit, ingested, {0: [names[0]], 1: [f"-{names[1]}"], 3: [names[3]]})
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested), "labels": labels}
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["status"] == "ok" for row in rows] == [True, False, False, True]
    for row in (rows[1], rows[2]):
        assert row["status"] == "no candidate could be judged on select users"
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


def test_no_living_latent_is_an_empty_dictionary(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested, 0)}
    inputs["labels"] = run_stage(
        commit, labelling, labelling.label_latents, planted_config, inputs, FakePool(), monkeypatch
    )
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert rows == [] and done.metrics["interpretable"] == 0
