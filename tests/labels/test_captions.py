"""A caption is the most informative reading of a statement, and kept only if it holds beside the statement's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.labels import captions, prompts, stage
from recsae.labels.captions import NOT_HOLDING, Stated, caption, stated
from recsae.labels.free_names import FIRST, Subject
from recsae.labels.judges import LlmJudge
from recsae.labels.select_users import SelectCases, SelectJudge
from recsae.labels.truncation import CaptionQuestion, LikelihoodQuestion
from recsae.llm.pool import Completion, Request
from recsae.schemas.concepts import CAPTIONS
from recsae.statements.language import Behaviour, ItemSet, Statement
from recsae.store.run_store import Committed
from tests.concepts.worlds import genres, latents_by_concept, run_stage, statements_of, term
from tests.conftest import N_CONCEPTS, Commit
from tests.scores.fakes import FakePool, knowing

ITEMS = 20
CATALOGUE = Catalogue(
    [f"i{item}" for item in range(ITEMS)],
    [f"{'War' if item % 2 == 0 else 'Sea'} {item}" for item in range(ITEMS)],
    [{}] * ITEMS,
    np.ones(ITEMS, dtype=np.int64),
)
AROUND = "items around War 0, War 2 and War 4"
SELECT = SelectCases(np.arange(ITEMS), np.arange(ITEMS) % 2 == 0)
SUBJECT = Subject(3, np.arange(4), np.arange(0, 8, 2), np.arange(1, 9, 2), SELECT)


class Asker:
    """Gives the readings in turn; a text is likely after each item, and list, that has its last word."""

    author = "m"

    def __init__(self, *readings: str | None) -> None:
        self.readings = readings
        self.ranked: list[str] = []

    def write(self, questions: list[CaptionQuestion], schema: Any, *_: Any) -> list[Completion]:
        assert schema == prompts.CAPTION_SCHEMA and [one.seed for one in questions] == [None, 5, 6]
        asked = [one.request().prompt for one in questions]
        assert all('calls the first "' in prompt for prompt in asked)
        return [
            Completion(None, None, "too_long", 0)
            if reading is None
            else Completion(json.dumps({"caption": reading}), None, "ok", 1)
            for reading in self.readings
        ]

    def likelihoods(self, questions: list[LikelihoodQuestion], *_: Any) -> list[Completion]:
        self.ranked += [one.concept for one in questions]
        return [self._value(one.request()) for one in questions]

    def verdicts(self, requests: list[Request], *_: Any) -> list[Completion]:
        return [self._value(request) for request in requests]

    def _value(self, request: Request) -> Completion:
        return Completion(None, float(request.continuation.split()[-1] in request.prompt), "ok", 1)


def captioned(words: str, *readings: str | None) -> tuple[dict[str, Any], Asker]:
    asker = Asker(*readings)
    judge = SelectJudge(LlmJudge("pmi", CATALOGUE), asker)  # type: ignore[arg-type]
    (row,) = caption([Stated(SUBJECT, words)], CATALOGUE, asker, judge, seed=5)  # type: ignore[arg-type]
    (stored,) = pa.Table.from_pylist([row], CAPTIONS).to_pylist()
    return stored, asker


def test_the_most_informative_reading_is_kept_where_it_holds() -> None:
    row, asker = captioned("around War 0", "Something else entirely", "Films of War", "Films of War")
    assert row == {
        "latent": 3, "caption": "Films of War", "status": "ok", "auc_select": 1.0, "auc_words": 0.6, "kept": True,
    }  # fmt: skip
    assert asker.ranked == ["Something else entirely"] * 2 + ["Films of War"] * 2


def test_a_caption_that_only_guesses_or_is_worse_than_the_words_is_not_kept() -> None:
    row, _ = captioned("around War 0", *["Neither of them"] * 3)
    assert (row["kept"], row["status"], row["auc_select"]) == (False, NOT_HOLDING, 0.5)
    row, _ = captioned("around War 0", *["Films of the Sea"] * 3)
    assert (row["kept"], row["auc_select"]) == (False, 0.0)


def test_a_caption_may_be_a_standard_error_worse_than_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def worth(auc: float, error: float) -> Any:
        return captions.OnSelect(auc, error, np.zeros(1))

    for text, words, kept in ((0.7, 0.75, True), (0.7, 0.85, False), (0.55, 0.4, False)):
        pair = worth(text, 0.1), worth(words, 0.1)
        assert captions._row(Stated(SUBJECT, "x"), "A caption", {}, pair)["kept"] is kept


def test_a_caption_that_repeats_the_prompt_is_none() -> None:
    row, _ = captioned(AROUND, "The first list holds War", "Items Around War 0, War 2 and war 4", "The SECOND list")
    assert (row["caption"], row["status"], row["kept"]) == (None, "copied", False)
    row, _ = captioned(AROUND, "The first list holds War", "Films of War", "Films of War")
    assert (row["caption"], row["kept"]) == ("Films of War", True)


def test_without_a_reading_the_row_says_why() -> None:
    row, _ = captioned("around War 0", None, None, None)
    assert (row["caption"], row["status"], row["kept"]) == (None, "too_long", False)


def test_statements_about_items_are_shown_by_the_items_of_their_view(commit: Commit, ingested: Committed) -> None:
    seeds = ItemSet(space="recommender", seeds=("i0",), min_cosine=0.5)
    made = {
        0: term("War", "last"),
        1: Statement(view="recommended", body=seeds),
        2: Statement(view="history", body=Behaviour(feature="gap", low=1.0)),
        3: term("Sea"),
    }
    evidence = latents_by_concept(commit, ingested)
    cases = {view: stage.read_cases(evidence, view) for view in ("recommended", "last")}
    rows = statements_of(commit, ingested, made).read_table("statements.parquet").to_pylist()
    rows.append({"latent": 2, "statement": None})
    catalogue = Catalogue.read(ingested)
    found = stated(rows, [0, 1, 2], cases, catalogue, 5)
    assert [(one.subject.latent, one.words) for one in found] == [
        (0, "War"),
        (1, f"items around {dict(zip(catalogue.ids, catalogue.titles, strict=True)).get('i0', 'i0')}"),
    ]
    assert found[0].subject.shown.tolist() == [0] and len(found[1].subject.shown) == 5


def writes_captions(good: bool) -> Callable[[Request], Completion]:
    def reply(request: Request) -> Completion:
        if request.kind != "generate":
            return knowing(request)
        word = request.prompt.rpartition("<<<")[2].split("genres: ")[1].split(")")[0]
        named = {"caption": f"{word} films"} if "caption" in request.prompt else {"name": f"{word} films"}
        if not good:
            named = {"name": "Neither of them"}
        return Completion(json.dumps(named | {"description": "What they are."}), None, "ok", 1)

    return reply


@pytest.mark.parametrize("good", [True, False])
def test_a_model_whose_names_do_not_hold_is_asked_for_no_caption(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    made = {latent: term(name) for latent, name in enumerate(genres(ingested))}
    inputs = {
        "ingest": ingested,
        "evidence": latents_by_concept(commit, ingested),
        "statements": statements_of(commit, ingested, made),
    }
    pool = FakePool(writes_captions(good))
    done = run_stage(commit, stage, stage.label_latents, planted_config, inputs, pool, monkeypatch)
    rows = done.read_table("captions.parquet").to_pylist()
    assert done.metrics["free_names"]["writes"] is good and done.metrics["free_names"]["first"] == N_CONCEPTS < FIRST
    if good:
        assert [(row["latent"], row["caption"]) for row in rows] == [
            (latent, f"{name} films") for latent, name in enumerate(genres(ingested))
        ]
        assert done.metrics["captions"] == {"asked": N_CONCEPTS, "kept": N_CONCEPTS}
    else:
        assert rows == [] and not [one for one in pool.asked if "A measurement calls" in one.prompt]
