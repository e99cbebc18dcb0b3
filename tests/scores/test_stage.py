"""Finalists are judged, the best is chosen on select users and judged beside its control on score users."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from recsae.concepts.finalists import read_proposals
from recsae.config.schema import Config
from recsae.evidence.cases import read_cases
from recsae.llm.pool import Completion, Request
from recsae.scores import stage
from recsae.scores.controls import draw_controls
from recsae.scores.evaluation import EvalSet
from recsae.scores.recsae_protocol import LEVEL_SCHEMA
from recsae.store.run_store import Committed
from tests.concepts.worlds import (
    firing,
    genres,
    items_by_concept,
    labels_of,
    latents_by_concept,
    run_stage,
)
from tests.conftest import N_CONCEPTS, Commit
from tests.scores.fakes import FakePool, knowing, noise


def reply(request: Request) -> Completion:
    """Also answers requests for levels."""
    if request.kind != "generate":
        return knowing(request)
    concept = request.prompt.split('"')[1]
    item = request.prompt.split("<<<")[1]
    return Completion(json.dumps(9 if concept in item else 2), None, "ok", 2)


def world(commit: Commit, ingested: Committed, candidates: dict[int, list[str]]) -> dict[str, Committed]:
    return {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested, len(candidates)),
        "labels": labels_of(commit, ingested, candidates),
        **firing(commit, ingested, len(candidates)),
    }


def scored(
    commit: Commit,
    inputs: dict[str, Committed],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    pool: FakePool | None = None,
) -> tuple[pd.DataFrame, Committed]:
    done = run_stage(commit, stage, stage.score_concepts, config, inputs, pool or FakePool(reply), monkeypatch)
    return done.read_table("scores.parquet").to_pandas(), done


def test_the_best_on_select_users_is_judged_on_score_users_beside_its_control(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    candidates = {
        latent: [names[(latent + 1) % N_CONCEPTS], "Nonsense", names[latent], f"-{names[latent]}"]
        for latent in range(N_CONCEPTS)
    }
    pool = FakePool(reply)
    table, done = scored(commit, world(commit, ingested, candidates), planted_config, monkeypatch, pool)
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
        assert own.lower <= own.confidence <= own.upper and own.expected > 0.9
        assert own.tp + own.fn == own.fp + own.tn == planted_config.scores.score_cases
    assert select.lower.isna().all() and score.xs("shuffled", level=1).expected.isna().all()
    attributes = table[(table.judge == "attributes") & (table.part == "score")]
    assert (attributes[attributes.control == "none"].confidence == 1).all()

    assert len(pool.asked) == len(set(pool.asked)) == done.metrics["prompts"]
    verdicts = done.read_table("verdicts.parquet").to_pandas()
    assert not verdicts.duplicated(["concept", "item_idx"]).any()
    masked = [one for one in pool.asked if one.kind == "loglikelihood" and "genres" not in one.prompt]
    assert len(verdicts) == sum(request.kind == "loglikelihood" for request in pool.asked) - len(masked)
    assert done.metrics["judge_auc"] > 0.95 and done.metrics["judge_masked_auc"] == pytest.approx(0.5, abs=0.15)
    assert done.metrics["controls"] == N_CONCEPTS
    assert done.metrics["tokens"] == sum(reply(request).tokens for request in pool.asked)
    assert done.metrics["calibration"]["error"] < 0.05
    phases = [(phase.name, phase.total, phase.unit) for phase in pool.phases if phase]
    assert phases == [
        ("choosing among candidates", N_CONCEPTS, "latents"),
        ("judging the chosen concepts", N_CONCEPTS, "latents"),
        ("RecSAE's protocol", N_CONCEPTS, "latents"),
        ("judging texts without the answer", len(masked), "requests"),
    ]


def test_hard_negatives_are_judged_separately_and_on_score_users_only(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All hard negatives are of other concepts: none has the genre, and none counts as a non-activating case."""
    names = genres(ingested)
    inputs = world(commit, ingested, {latent: [names[latent]] for latent in range(N_CONCEPTS)})
    table, _ = scored(commit, inputs, planted_config, monkeypatch)
    own = table[(table.judge == "attributes") & (table.control == "none")].set_index("part")
    assert (own.loc["score", ["near_miss_rate", "near_direction_rate"]] == 0).all(axis=None)
    assert own.loc["select", ["near_miss_rate", "near_direction_rate"]].isna().all(axis=None)
    model = table[(table.judge == "llm") & (table.part == "score") & (table.control == "shuffled")]
    assert model.near_direction_rate.between(0, 1).all() and model.near_direction_rate.max() > 0


def test_recsaes_protocol_is_reported_on_a_sample(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    inputs = world(commit, ingested, {latent: [names[latent]] for latent in range(N_CONCEPTS)})
    scores = planted_config.scores.model_copy(update={"recsae": 3})
    config = planted_config.model_copy(update={"scores": scores})
    pool = FakePool(reply)
    table, done = scored(commit, inputs, config, monkeypatch, pool)
    found = table[table.judge == "recsae"]
    assert len(found) == 3 and set(found.part) == {"score"} and set(found.control) == {"none"}
    assert (found[["tp", "tn"]] == 5).all(axis=None) and (found.confidence == 1).all()
    found_metrics = done.metrics["recsae"]
    assert (found_metrics["latents"], found_metrics["at_0.8"], found_metrics["at_0.9"]) == (3, 3, 3)
    # Five of ten are "active": all ten right in 1 of C(10, 5) deals, eight right in 25 more.
    assert found_metrics["chance_0.9"] == pytest.approx(1 / 252) and found_metrics["chance_0.8"] == pytest.approx(
        26 / 252
    )
    assert sum(request.kind == "generate" for request in pool.asked) <= 30
    assert LEVEL_SCHEMA in pool.schemas

    larger = config.model_copy(update={"scores": scores.model_copy(update={"recsae": 4})})
    again, _ = scored(commit, inputs, larger, monkeypatch)
    assert set(found.latent) < set(again[again.judge == "recsae"].latent)
    nobody = config.model_copy(update={"scores": scores.model_copy(update={"recsae": 0})})
    table, done = scored(commit, inputs, nobody, monkeypatch)
    assert not (table.judge == "recsae").any() and done.metrics["recsae"]["chance_0.8"] is None


def test_attributes_judge_all_cases_of_score_users(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, items = genres(ingested), items_by_concept(ingested)
    inputs = world(commit, ingested, {latent: [names[latent]] for latent in range(N_CONCEPTS)})
    table, done = scored(commit, inputs, planted_config, monkeypatch)
    found = table[table.judge == "held_out"].set_index(["latent", "control"])
    total = 2 * sum(len(own) for own in items)  # twice in each part
    levels = done.read_table("levels.parquet").to_pandas()
    assert len(levels) == 11 * N_CONCEPTS
    for latent, own in enumerate(items):
        row, shuffled = found.loc[latent, "none"], found.loc[latent, "shuffled"]
        assert (row.tp, row.fp, row.fn, row.tn) == (2 * len(own), 0, 0, total - 2 * len(own))
        assert row.confidence == row.precision == row.recall == row.auc == 1
        assert shuffled.tp == 0 and shuffled.fp == 2 * len(own) and shuffled.confidence < 0.5
        of_latent = levels[levels.latent == latent].set_index("level")
        assert (of_latent.concept == names[latent]).all()
        assert of_latent.cases[10] == of_latent.hits[10] == 2 * len(own)
        assert of_latent.cases[0] == total - 2 * len(own) and of_latent.hits[0] == 0
        assert of_latent.cases[1:9].sum() == 0


def test_the_control_is_the_concept_on_the_evidence_of_another_latent(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    inputs = world(commit, ingested, {latent: [names[latent]] for latent in range(N_CONCEPTS)})
    table, done = scored(commit, inputs, planted_config, monkeypatch)
    verdicts = done.read_table("verdicts.parquet").to_pandas().set_index(["concept", "item_idx"]).value
    proposals = read_proposals(inputs["labels"])
    other = draw_controls(proposals.finalists, proposals.words, planted_config.seed)
    latents = read_cases(inputs["evidence"], "recommended")
    for latent in range(N_CONCEPTS):
        row = table[(table.latent == latent) & (table.control == "shuffled") & (table.judge == "llm")].iloc[0]
        eval_set = EvalSet.from_cases(latents[other[latent]], "score", planted_config.scores.score_cases)
        hits = [verdicts[names[latent], item] > row.centre for item in eval_set.active.item]
        assert (row.tp, row.fn) == (sum(hits), len(hits) - sum(hits))


def test_no_control_is_a_latent_of_the_same_concept(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are three latents per concept; on another of the three, a true concept would pass."""
    names = genres(ingested)
    candidates = {latent: [names[latent % N_CONCEPTS]] for latent in range(3 * N_CONCEPTS)}
    table, _ = scored(commit, world(commit, ingested, candidates), planted_config, monkeypatch)
    shuffled = table[(table.control == "shuffled") & (table.judge == "attributes")]
    assert len(shuffled) == 3 * N_CONCEPTS and (shuffled.recall == 0).all()


def test_score_users_do_not_affect_the_choice(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts' evidence differs; if select and score disagree, the choice follows select."""
    names = genres(ingested)
    candidates = {latent: [names[latent], names[(latent + 1) % N_CONCEPTS]] for latent in range(N_CONCEPTS)}
    inputs = world(commit, ingested, candidates)
    inputs["evidence"] = latents_by_concept(commit, ingested, elsewhere=True)
    table, _ = scored(commit, inputs, planted_config, monkeypatch)
    assert (table[table.part == "score"].candidate == 1).all()


def test_a_latent_without_select_cases_or_verdicts_is_left_out(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)

    def failing(request: Request) -> Completion:
        if request.continuation == f" {names[0]}":
            return Completion(None, None, "too_long", 0)
        return reply(request)

    inputs = world(commit, ingested, {latent: [names[latent]] for latent in range(N_CONCEPTS)})
    table, done = scored(commit, inputs, planted_config, monkeypatch, FakePool(failing))
    assert sorted(table.latent.unique()) == [1, 2, 3]
    assert done.metrics["failed"] > 0 and done.metrics["scored"] == 3
    inputs["evidence"] = latents_by_concept(commit, ingested, parts=("explain", "score"))
    table, done = scored(commit, inputs, planted_config, monkeypatch)
    assert len(table) == 0 and done.metrics["scored"] == 0 and done.metrics["prompts"] == 0
    assert done.metrics["calibration"] == {"error": None, "bins": []}
    assert done.read_table("levels.parquet").num_rows == 0


def test_a_single_latent_has_no_control(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, done = scored(commit, world(commit, ingested, {0: [genres(ingested)[0]]}), planted_config, monkeypatch)
    assert set(table[table.part == "score"].control) == {"none"} and done.metrics["controls"] == 0


def test_a_judge_that_knows_nothing_is_at_chance(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of five on select users is at chance on score users."""
    inputs = world(commit, ingested, {latent: [f"{latent} {n}" for n in range(5)] for latent in range(24)})
    pool = FakePool(lambda request: Completion(None, noise(request), "ok", 1))
    table, _ = scored(commit, inputs, planted_config, monkeypatch, pool)
    select = table[table.part == "select"].groupby("latent").auc.max().mean()
    own = table[(table.part == "score") & (table.control == "none") & (table.judge == "llm")]
    assert select > 0.6 and own.confidence.mean() == pytest.approx(0.5, abs=0.07)
    # The expected confidence of no latent is raised by luck.
    assert own.expected.max() < 0.65 < own.confidence.max()
    assert (table[table.judge == "recsae"].confidence == 0).all()  # no answer was a level
