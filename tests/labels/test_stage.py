"""Candidates of every latent, with a pool that answers from the words of its prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsae.config.concepts import EndpointConfig
from recsae.config.schema import Config
from recsae.labels import asking, stage
from recsae.labels.free_names import DRAWN
from recsae.llm.pool import Completion, Request
from recsae.store.run_store import Committed
from tests.concepts.worlds import genres, latents_by_concept, run_stage
from tests.conftest import N_CONCEPTS, Commit
from tests.scores.fakes import FakePool, knowing


def committed(
    commit: Commit, ingested: Committed, config: Config, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> Committed:
    evidence = latents_by_concept(commit, ingested)
    return run_stage(
        commit,
        stage,
        stage.label_latents,
        config,
        {"ingest": ingested, "evidence": evidence},
        pool,
        monkeypatch,
    )


def labelled(
    commit: Commit, ingested: Committed, config: Config, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    done = committed(commit, ingested, config, pool, monkeypatch)
    rows: list[dict[str, Any]] = done.read_table("labels.parquet").to_pylist()
    assert done.metrics["candidates"] == len(rows)
    assert done.metrics["failed"] == sum(row["status"] != "ok" for row in rows)
    return rows


def test_every_latent_gets_its_term_and_a_name(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = FakePool()
    rows = labelled(commit, ingested, planted_config, pool, monkeypatch)
    assert sorted({row["latent"] for row in rows}) == list(range(N_CONCEPTS))
    names = genres(ingested)
    assert len(pool.asked) == len(set(pool.asked))
    for latent in range(N_CONCEPTS):
        mine = [row for row in rows if row["latent"] == latent]
        assert [row["candidate"] for row in mine] == list(range(len(mine)))
        *found, named_row = mine
        ranked = sorted(found, key=lambda row: -row["pmi"])
        assert ranked[0]["concept"] == names[latent] and ranked[0]["finalist"]
        assert sum(row["finalist"] for row in found) == min(planted_config.labels.finalists_per_ranking, len(found))
        assert named_row["source"] == "model" and named_row["concept"] == f"{names[latent]} films"
        assert names[latent] in named_row["terms"]


def test_only_items_of_explain_users_are_shown(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence of select and score users is of another concept; only a correction shows select users' items."""
    pool = FakePool()
    evidence = latents_by_concept(commit, ingested, elsewhere=True)
    run_stage(
        commit,
        stage,
        stage.label_latents,
        planted_config,
        {"ingest": ingested, "evidence": evidence},
        pool,
        monkeypatch,
    )
    naming = [request.prompt for request in pool.asked if request.kind == "generate" and request.seed is None]
    naming = [prompt for prompt in naming if "was tried" not in prompt]
    lists = [asked.rpartition("<<<")[2].splitlines() for asked in naming]
    shown = [{line.split("genres: ")[1] for line in lines if line.startswith("- ")} for lines in lists]
    assert sorted(len(genres) for genres in shown) == [1] * N_CONCEPTS
    assert len(set.union(*shown)) == N_CONCEPTS


def test_one_bad_answer_fails_one_row(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad: list[Request] = []

    def reply(request: Request) -> Completion:
        if request.kind == "generate" and (not bad or request in bad):
            bad.append(request)
            return Completion("I am sorry", None, "unparsed", 5)
        return knowing(request)

    rows = labelled(commit, ingested, planted_config, FakePool(reply), monkeypatch)
    assert [row["status"] for row in rows if row["status"] != "ok"] == ["unparsed"]
    assert sum(row["source"] == "model" for row in rows) == N_CONCEPTS + 1  # the latent has drawn names too


def changed(config: Config, **labels: Any) -> Config:
    return config.model_copy(update={"labels": config.labels.model_copy(update=labels)})


def test_every_term_has_its_statistics(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A genre is all of a latent's evidence, and its share of all events is the inverse of its lift."""
    rows = labelled(commit, ingested, planted_config, FakePool(), monkeypatch)
    names = genres(ingested)
    for row in rows:
        if row["concept"] == names[row["latent"]]:
            assert row["tfidf"] == pytest.approx(-np.log(1 / row["lift"])) and 1 < row["lift"] < 3 * N_CONCEPTS
            assert 2 < row["support"] <= 12
    assert {row["model"] for row in rows} == {planted_config.llm.model}


def test_metrics_count_requests_and_tokens(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = FakePool()
    found = committed(commit, ingested, planted_config, pool, monkeypatch).metrics
    assert (found["requests"], found["tokens"]) == (len(pool.asked), 3 * len(pool.asked))
    assert (found["latents"], found["truncated"], found["failed"]) == (N_CONCEPTS, 0, 0)
    assert found["seconds"] >= 0
    phases = dict.fromkeys((phase.name, phase.total, phase.unit) for phase in pool.phases if phase)
    assert [*phases] == [
        ("free names", N_CONCEPTS, "latents"),
        ("judging the first names", N_CONCEPTS, "latents"),
        ("more free names", N_CONCEPTS, "latents"),
        ("likelihoods of terms", N_CONCEPTS, "latents"),
    ]


def test_a_sample_gets_the_labels_of_a_full_run(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = labelled(commit, ingested, changed(planted_config, latents=0), FakePool(), monkeypatch)
    assert {row["latent"] for row in every} == set(range(N_CONCEPTS))
    seen: set[int] = set()
    for count in range(1, N_CONCEPTS + 2):
        rows = labelled(commit, ingested, changed(planted_config, latents=count), FakePool(), monkeypatch)
        latents = {row["latent"] for row in rows}
        assert len(latents) == min(count, N_CONCEPTS) and seen <= latents
        assert [key(row) for row in rows] == [key(row) for row in every if row["latent"] in latents]
        seen = latents


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["latent"], row["candidate"], row["concept"], row["pmi"], row["finalist"]


@pytest.mark.parametrize("limit", [900, 1100])
def test_evidence_is_cut_until_it_fits(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """No prompt fails for its length, and prompts that fit are asked once."""

    def reply(request: Request) -> Completion:
        room = limit if request.kind == "generate" else limit - 800
        return knowing(request) if len(request.prompt) <= room else Completion(None, None, "too_long", 0)

    pool = FakePool(reply)
    done = committed(commit, ingested, changed(planted_config, cases=20), pool, monkeypatch)
    assert done.metrics["failed"] == 0 and done.metrics["truncated"] > 0
    assert done.metrics["requests"] >= len(pool.asked) == len(set(pool.asked))
    rows = done.read_table("labels.parquet").to_pylist()
    assert {row["latent"] for row in rows} == set(range(N_CONCEPTS))


def test_a_prompt_that_never_fits_fails_its_row_only(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(request: Request) -> Completion:
        return Completion(None, None, "too_long", 0) if request.kind == "generate" else knowing(request)

    rows = labelled(commit, ingested, planted_config, FakePool(reply), monkeypatch)
    free = [row for row in rows if row["source"] == "model"]
    assert [row["status"] for row in free] == ["too_long"] * N_CONCEPTS and not any(row["finalist"] for row in free)
    assert all(row["status"] == "ok" for row in rows if row["source"] != "model")


def test_a_free_name_that_is_a_term_yields_to_it(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(request: Request) -> Completion:
        answer = knowing(request)
        return answer._replace(text=answer.text.replace(" films", "").lower()) if answer.text else answer

    rows = labelled(commit, ingested, planted_config, FakePool(reply), monkeypatch)
    for latent, name in enumerate(genres(ingested)):
        same = [row for row in rows if row["latent"] == latent and row["concept"] == name]
        assert [(row["source"], row["finalist"]) for row in same] == [("terms", True), ("model", False)]


def test_an_endpoint_writes_the_names_and_nothing_else(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, served = FakePool(), FakePool()
    opened: list[EndpointConfig] = []

    def open_endpoint(config: EndpointConfig, at_once: int) -> FakePool:
        assert at_once == planted_config.resources.endpoint_requests
        opened.append(config)
        return served

    monkeypatch.setattr(asking, "EndpointPool", open_endpoint)
    there = EndpointConfig(url="http://nowhere/v1", model="big")
    rows = labelled(commit, ingested, changed(planted_config, endpoint=there), engines, monkeypatch)
    assert opened == [there]
    assert {request.kind for request in served.asked} == {"generate"} and len(served.asked) == (1 + DRAWN) * N_CONCEPTS
    assert {request.kind for request in engines.asked} == {"loglikelihood"}
    for row in rows:
        assert row["model"] == ("big" if row["source"] == "model" else planted_config.llm.model)
