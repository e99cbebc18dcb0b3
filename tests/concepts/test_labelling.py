"""Candidates of every latent, with a pool that answers from the words of its questions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from recsae.concepts import labelling
from recsae.concepts.candidates import Candidate
from recsae.concepts.engine import Answer, Request
from recsae.concepts.labelling import _free_row, _term_row
from recsae.concepts.terms import Vocabulary
from recsae.config import Config
from recsae.schemas import LABELS
from recsae.store.runs import Committed
from tests.concepts.fakes import FakePool, knowing
from tests.concepts.worlds import genres, latents_by_concept, run_stage
from tests.conftest import N_CONCEPTS, Commit

VOCABULARY = Vocabulary(["War", "Old"], sparse.csr_matrix(np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)))


def free(text: str | None, status: str = "ok") -> dict[str, Any]:
    """The row, after a round through the table, which must take it."""
    shared = {"latent": 0, "candidate": 0, "view": "input", "prompt_version": "1", "model": "m"}
    row = {**_free_row(Answer(text, None, status, 1), VOCABULARY), **shared}
    found: dict[str, Any] = pa.Table.from_pylist([row], LABELS).to_pylist()[0]
    return found


def named(name: Any, description: Any = "Films of old wars.") -> str:
    return json.dumps({"name": name, "description": description})


def test_a_good_name_is_a_finalist() -> None:
    row = free(named("  Old\n  war films. "))
    assert row["concept"] == "Old war films"
    assert (row["finalist"], row["status"], row["source"]) == (True, "ok", "model")
    assert sorted(row["terms"]) == ["Old", "War"]
    assert row["description"] == "Films of old wars."


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (None, "unparsed"),
        ("", "unparsed"),
        ("War films", "unparsed"),
        ('{"name": "War', "unparsed"),
        ("[]", "unparsed"),
        ('"War"', "unparsed"),
        ("null", "unparsed"),
        ("{}", "unparsed"),
        (named(None), "unparsed"),
        (named(["War"]), "unparsed"),
        (named("War", 7), "unparsed"),
        (named("War", {"a": 1}), "unparsed"),
        (named(""), "empty"),
        (named(" .,- "), "empty"),
        (named('«»<>"{}!?'), "empty"),
        (named("\ud83d"), "empty"),
        (named("\u0000\u200b\u202e"), "empty"),
    ],
)
def test_a_bad_answer_costs_its_row_only(text: str | None, status: str) -> None:
    row = free(text)
    assert (row["status"], row["finalist"], row["concept"]) == (status, False, "")


def test_odd_characters_leave_the_name_and_the_table_takes_the_sentence() -> None:
    row = free(named('<b>"War" {films}</b> & more\u202e', "Broken \ud83d half\nand\u0000 more"))
    assert row["concept"] == "bWar films/b & more"
    assert row["description"] == "Broken half and more"
    assert row["finalist"]
    assert free(named("Фильмы о войне, été 第二"))["concept"] == "Фильмы о войне, été 第二"


def test_an_answer_that_failed_keeps_its_status() -> None:
    assert free(None, "too_long")["status"] == "too_long"
    row = free(named("War films"), "unparsed")
    assert row["status"] == "unparsed" and not row["finalist"]


def test_a_terms_row_needs_both_likelihoods() -> None:
    candidate, nan = Candidate(0, 0.5, 0.75, 0.25), float("nan")
    good, bad = Answer(None, -2.0, "ok", 1), Answer(None, None, "too_long", 0)
    row = _term_row(candidate, good, -5.0, VOCABULARY)
    assert (row["pmi"], row["tfidf"], row["status"], row["terms"]) == (3.0, 0.5, "ok", ["War"])
    assert row["description"] == "War: 75% of its evidence, 25.0% of all events." and not row["finalist"]
    for given, without in ((bad, -5.0), (good, nan), (bad, nan)):
        row = _term_row(candidate, given, without, VOCABULARY)
        assert row["pmi"] is None and row["status"] != "ok"


def labelled(
    commit: Commit, ingested: Committed, config: Config, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    evidence = latents_by_concept(commit, ingested)
    done = run_stage(
        commit,
        labelling,
        labelling.label_latents,
        config,
        {"ingest": ingested, "evidence": evidence},
        pool,
        monkeypatch,
    )
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
        assert sum(row["finalist"] for row in found) == min(planted_config.labels.ranked, len(found))
        assert named_row["source"] == "model" and named_row["concept"] == f"{names[latent]} films"
        assert names[latent] in named_row["terms"]


def test_only_items_of_explain_users_are_shown(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence of select and score users is of another concept, whose items must reach no prompt."""
    pool = FakePool()
    evidence = latents_by_concept(commit, ingested, elsewhere=True)
    run_stage(
        commit,
        labelling,
        labelling.label_latents,
        planted_config,
        {"ingest": ingested, "evidence": evidence},
        pool,
        monkeypatch,
    )
    naming = [request.prompt for request in pool.asked if request.kind == "generate"]
    shown = [{line.split("genres: ")[1] for line in asked.splitlines() if line.startswith("- ")} for asked in naming]
    assert sorted(len(genres) for genres in shown) == [1] * N_CONCEPTS
    assert len(set.union(*shown)) == N_CONCEPTS


def test_one_bad_answer_costs_one_row(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad: list[Request] = []

    def reply(request: Request) -> Answer:
        if request.kind == "generate" and (not bad or request in bad):
            bad.append(request)
            return Answer("I am sorry", None, "unparsed", 5)
        return knowing(request)

    rows = labelled(commit, ingested, planted_config, FakePool(reply), monkeypatch)
    assert [row["status"] for row in rows if row["status"] != "ok"] == ["unparsed"]
    assert sum(row["source"] == "model" for row in rows) == N_CONCEPTS
