"""Candidates judged, the best chosen on select users, and its control."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsae.concepts import scoring, terms
from recsae.concepts.cases import Judged, read_cases
from recsae.concepts.engine import Answer, Request
from recsae.concepts.judging import Verdicts
from recsae.concepts.scoring import Finalist, Task, _centre, _judged, derangement
from recsae.config import Config
from recsae.data.catalogue import Catalogue
from recsae.schemas import LABELS
from recsae.store.runs import Attempt, Committed, Metrics
from tests.concepts.fakes import FakePool, knowing, noise
from tests.concepts.worlds import genres, items_by_concept, latents_by_concept, run_stage
from tests.conftest import N_CONCEPTS, Commit


@pytest.mark.parametrize("count", [2, 3, 4, 17, 256])
def test_a_derangement_has_no_fixed_point(count: int) -> None:
    for seed in range(20):
        found = derangement(count, seed)
        assert sorted(found.tolist()) == list(range(count))
        assert (found != np.arange(count)).all()
    assert count < 4 or derangement(count, 0).tolist() != derangement(count, 1).tolist()
    assert derangement(count, 5).tolist() == derangement(count, 5).tolist()


def test_one_and_none_are_deranged_as_well_as_can_be() -> None:
    assert derangement(0, 0).tolist() == [] and derangement(1, 0).tolist() == [0]


def judged(*items: int) -> Judged:
    return Judged(np.array(items, dtype=np.int64), np.array(items, dtype=np.int64))


def verdicts_of(ingested: Committed, values: dict[int, float | None], concept: str = "C") -> Verdicts:
    found = Verdicts("pmi", Catalogue.read(ingested))
    found.answers = {
        (concept, item): Answer(None, value, "ok" if value is not None else "too_long", 1)
        for item, value in values.items()
    }
    return found


def test_the_centre_is_the_midpoint_of_both_means(ingested: Committed) -> None:
    verdicts = verdicts_of(ingested, {0: 1.0, 1: 3.0, 2: None, 3: -4.0, 4: None})
    assert _centre(verdicts, "C", Task(judged(0, 1, 2), judged(3, 4), judged())) == pytest.approx((2 - 4) / 2)
    assert _centre(verdicts, "C", Task(judged(2), judged(3), judged())) is None
    assert _centre(verdicts, "C", Task(judged(0), judged(), judged())) is None


def test_counts_by_hand_and_a_failed_verdict_costs_its_row(ingested: Committed, planted_config: Config) -> None:
    vocabulary = terms.build(Catalogue.read(ingested))
    first, second = items_by_concept(ingested)[:2]
    values: dict[int, float | None] = {int(item): 1.0 for item in first} | {int(item): -1.0 for item in second}
    values[int(first[0])], values[int(first[1])], values[int(second[0])] = None, -3.0, 2.0
    genre = vocabulary.terms[int(vocabulary.bears[first].sum(axis=0).argmax())]
    task = Task(judged(*first[:6]), judged(*second[:5]), judged(second[0], second[1], first[0]))
    verdicts = verdicts_of(ingested, values)
    model, attributes = _judged(verdicts, vocabulary, Finalist(0, 0, "C", [genre]), task, 0.0, planted_config)
    # Active: one failed, one judged silent, four right. Silent: one judged active, four right.
    assert {name: model[name] for name in ("tp", "fp", "tn", "fn")} == {"tp": 4, "fp": 1, "tn": 4, "fn": 1}
    assert model["confidence"] == pytest.approx(0.8) and model["centre"] == 0
    assert model["near_miss_rate"] == 1 / 2
    assert (attributes["tp"], attributes["fp"], attributes["tn"], attributes["fn"]) == (6, 0, 5, 0)
    assert attributes["near_miss_rate"] == pytest.approx(1 / 3)
    assert attributes["centre"] is None and attributes["auc"] == 1
    alone = _judged(verdicts, vocabulary, Finalist(0, 0, "C", []), task, 0.0, planted_config)
    assert [row["judge"] for row in alone] == ["llm"]


def test_a_value_at_the_centre_is_not_above_it(ingested: Committed, planted_config: Config) -> None:
    verdicts = verdicts_of(ingested, {0: 1.0, 1: 1.0})
    vocabulary = terms.build(Catalogue.read(ingested))
    task = Task(judged(0), judged(1), judged())
    row = _judged(verdicts, vocabulary, Finalist(0, 0, "C", []), task, 1.0, planted_config)[0]
    assert (row["tp"], row["fp"], row["tn"], row["fn"]) == (0, 0, 1, 1)
    assert row["near_miss_rate"] is None


def labels_of(commit: Commit, ingested: Committed, candidates: dict[int, list[str]]) -> Committed:
    """Candidates of each latent, all finalists but those that begin with `-`."""
    known = set(genres(ingested))
    rows = [
        {
            "latent": latent, "candidate": number, "concept": text.removeprefix("-"), "description": None,
            "source": "terms", "terms": [text] if text in known else [], "view": "recommended",
            "prompt_version": "1", "model": "m", "tfidf": None, "pmi": None, "finalist": text[0] != "-",
            "status": "ok",
        }
        for latent, texts in candidates.items()
        for number, text in enumerate(texts)
    ]  # fmt: skip

    def write(out: Attempt) -> Metrics:
        out.write_table("labels.parquet", pa.Table.from_pylist(rows, LABELS), LABELS)
        return {"model": "m", "prompt_version": "1"}

    return commit("labels", write)


def scored(
    commit: Commit,
    inputs: dict[str, Committed],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    pool: FakePool | None = None,
) -> tuple[pd.DataFrame, Committed]:
    done = run_stage(commit, scoring, scoring.score_concepts, config, inputs, pool or FakePool(), monkeypatch)
    return done.read_table("scores.parquet").to_pandas(), done


def test_the_best_on_select_users_is_judged_on_score_users_beside_its_control(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    candidates = {
        latent: [names[(latent + 1) % N_CONCEPTS], "Nonsense", names[latent], f"-{names[latent]}"]
        for latent in range(N_CONCEPTS)
    }
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested),
        "labels": labels_of(commit, ingested, candidates),
    }
    pool = FakePool()
    table, done = scored(commit, inputs, planted_config, monkeypatch, pool)
    model = table[table.judge == "llm"]
    select = model[model.part == "select"]
    assert len(select) == 3 * N_CONCEPTS and set(select.control) == {"none"}
    best = select.loc[select.groupby("latent").auc.idxmax()].set_index("latent")
    assert best.candidate.tolist() == [2] * N_CONCEPTS
    score = model[model.part == "score"].set_index(["latent", "control"])
    for latent in range(N_CONCEPTS):
        own, shuffled = score.loc[latent, "none"], score.loc[latent, "shuffled"]
        assert own.concept == shuffled.concept == names[latent]
        assert own.centre == shuffled.centre == best.loc[latent].centre
        assert own.confidence > 0.9 and shuffled.confidence < 0.6
        assert own.tp + own.fn == own.fp + own.tn == planted_config.scores.score_cases
    attributes = table[(table.judge == "attributes") & (table.part == "score")]
    assert (attributes[attributes.control == "none"].confidence == 1).all()

    assert len(pool.asked) == len(set(pool.asked)) == done.metrics["prompts"]
    verdicts = done.read_table("verdicts.parquet").to_pandas()
    assert not verdicts.duplicated(["concept", "item_idx"]).any() and len(verdicts) == len(pool.asked)
    assert done.metrics["judge_auc"] > 0.95


def test_the_control_is_the_concept_on_the_evidence_of_another_latent(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    evidence = latents_by_concept(commit, ingested)
    inputs = {
        "ingest": ingested,
        "evidence": evidence,
        "labels": labels_of(commit, ingested, {latent: [names[latent]] for latent in range(N_CONCEPTS)}),
    }
    table, done = scored(commit, inputs, planted_config, monkeypatch)
    verdicts = done.read_table("verdicts.parquet").to_pandas().set_index(["concept", "item_idx"]).value
    other = derangement(N_CONCEPTS, planted_config.seed)
    latents = read_cases(evidence, "recommended")
    for latent in range(N_CONCEPTS):
        row = table[(table.latent == latent) & (table.control == "shuffled") & (table.judge == "llm")].iloc[0]
        task = Task.of(latents[int(other[latent])], "score", planted_config.scores.score_cases)
        hits = [verdicts[names[latent], item] > row.centre for item in task.active.item]
        assert (row.tp, row.fn) == (sum(hits), len(hits) - sum(hits))


def test_score_users_do_not_touch_the_choice(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items are judged the same, but the parts' evidence differs: where select says otherwise, select is followed."""
    names = genres(ingested)
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested, elsewhere=True),
        "labels": labels_of(
            commit,
            ingested,
            {latent: [names[latent], names[(latent + 1) % N_CONCEPTS]] for latent in range(N_CONCEPTS)},
        ),
    }
    table, _ = scored(commit, inputs, planted_config, monkeypatch)
    assert (table[table.part == "score"].candidate == 1).all()


def test_a_latent_without_select_cases_or_verdicts_is_left_out(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)

    def reply(request: Request) -> Answer:
        if request.continuation == f" {names[0]}":
            return Answer(None, None, "too_long", 0)
        return knowing(request)

    candidates = {latent: [names[latent]] for latent in range(N_CONCEPTS)}
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested),
        "labels": labels_of(commit, ingested, candidates),
    }
    table, done = scored(commit, inputs, planted_config, monkeypatch, FakePool(reply))
    assert sorted(table.latent.unique()) == [1, 2, 3]
    assert done.metrics["failed"] > 0 and done.metrics["scored"] == 3
    inputs["evidence"] = latents_by_concept(commit, ingested, parts=("explain", "score"))
    table, done = scored(commit, inputs, planted_config, monkeypatch)
    assert len(table) == 0 and done.metrics["scored"] == 0 and done.metrics["prompts"] == 0


def test_a_single_latent_has_no_control(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested, 1),
        "labels": labels_of(commit, ingested, {0: [genres(ingested)[0]]}),
    }
    table, _ = scored(commit, inputs, planted_config, monkeypatch)
    assert set(table[table.part == "score"].control) == {"none"}


def test_a_judge_that_knows_nothing_is_at_chance(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of five on select users is no better than another on score users."""
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested, 24),
        "labels": labels_of(commit, ingested, {latent: [f"{latent} {n}" for n in range(5)] for latent in range(24)}),
    }
    pool = FakePool(lambda request: Answer(None, noise(request), "ok", 1))
    table, _ = scored(commit, inputs, planted_config, monkeypatch, pool)
    select = table[table.part == "select"].groupby("latent").auc.max().mean()
    score = table[(table.part == "score") & (table.control == "none")].confidence.mean()
    assert select > 0.6 and score == pytest.approx(0.5, abs=0.07)


def test_rows_are_plain_values(ingested: Committed, planted_config: Config) -> None:
    """What goes to Arrow: no NaN where a null is meant."""
    vocabulary = terms.build(Catalogue.read(ingested))
    row: dict[str, Any] = _judged(
        verdicts_of(ingested, {0: None, 1: None}),
        vocabulary,
        Finalist(0, 0, "C", []),
        Task(judged(0), judged(1), judged(0)),
        0.0,
        planted_config,
    )[0]
    nulls = ("precision", "recall", "f1", "auc", "confidence", "lower", "upper", "near_miss_rate")
    assert [row[name] for name in nulls] == [None] * len(nulls)
