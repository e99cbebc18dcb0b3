"""Free names: a model that cannot write is noticed, one that can is asked by seed and corrected."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.evidence.cases import LatentCases
from recsae.labels import prompts
from recsae.labels.candidates import Usage
from recsae.labels.free_names import (
    CONTRAST,
    DRAWN,
    FIRST,
    NOT_HOLDING,
    FreeNames,
    NameWriter,
    Subject,
    hard_negatives,
    misjudged,
)
from recsae.labels.judges import LlmJudge
from recsae.labels.select_users import OnSelect, SelectCases, SelectJudge
from recsae.labels.truncation import NameQuestion
from recsae.llm.pool import Completion, Request

ITEMS = 40
CATALOGUE = Catalogue(
    [str(item) for item in range(ITEMS)],
    [f"Film {item} {'even' if item % 2 == 0 else 'odd'}" for item in range(ITEMS)],
    [{}] * ITEMS,
    np.ones(ITEMS, dtype=np.int64),
)
USAGE = Usage(Vocabulary(["War"], sparse.csr_matrix(np.eye(ITEMS, 1, dtype=np.float32))), CATALOGUE.popularity)
NAMES = [f"{letter} even" for letter in "ABCDEFGH"]
"""All hold."""
SELECT = SelectCases(np.arange(20), np.arange(20) % 2 == 0)


class Asker:
    """Writes what `written` says of a question, and judges by whether the name's last word is in the prompt."""

    author = "m"

    def __init__(self, *names: str) -> None:
        self.names = names
        self.questions: list[NameQuestion] = []
        self.verdicts_asked: list[Request] = []

    def write(self, questions: list[NameQuestion], schema: Any, phase: str, *_: Any) -> list[Completion]:
        assert schema == prompts.NAME_SCHEMA
        first = len(self.questions)
        self.questions += questions
        return [self._name(first + number) for number in range(len(questions))]

    def _name(self, number: int) -> Completion:
        named = {"name": self.names[number % len(self.names)], "description": "What it is."}
        return Completion(json.dumps(named), None, "ok", 1)

    def verdicts(self, requests: list[Request], *_: Any) -> list[Completion]:
        self.verdicts_asked += requests
        word = [request.continuation.split()[-1] for request in requests]
        return [
            Completion(None, float(one in request.prompt), "ok", 1) for one, request in zip(word, requests, strict=True)
        ]


def written(latents: int, asker: Asker, wrote: bool | None = None) -> FreeNames:
    judge = SelectJudge(LlmJudge("pmi", CATALOGUE), asker)  # type: ignore[arg-type]
    subjects = [Subject(latent, np.arange(4), np.arange(4), np.arange(20, 23), SELECT) for latent in range(latents)]
    return NameWriter(CATALOGUE, USAGE, judge, asker, seed=5).write(subjects, wrote)  # type: ignore[arg-type]


def test_a_model_that_cannot_write_is_asked_for_the_first_names_only(caplog: pytest.LogCaptureFixture) -> None:
    """Titles copied, names too long and a name that fits both kinds of case alike."""
    asker = Asker("Film 1", "One name of far too many words", "Neither", "Film 3")
    with caplog.at_level(logging.INFO):
        found = written(2 * FIRST, asker)
    assert len(asker.questions) == FIRST and sorted(found.rows) == list(range(FIRST))
    assert not found.writes and found.counts == {"held": 0, "copied": 4, "wordy": 2, NOT_HOLDING: 2}
    assert found.metrics | {"first": FIRST, "written": FIRST} == found.metrics
    (line,) = [record.getMessage() for record in caplog.records]
    assert (
        "of the first 8 names that m wrote, 0 hold on select users (4 copied, 2 wordy, 2 no better than guessing)"
        in line
    )


def test_a_model_that_writes_is_asked_of_all_latents_and_by_seed() -> None:
    asker = Asker(*NAMES)
    found = written(FIRST + 3, asker)
    assert found.writes and found.counts == {"held": FIRST} and sorted(found.rows) == list(range(FIRST + 3))
    for rows in found.rows.values():
        names = [row["concept"] for row in rows]
        assert 1 < len(names) == len(set(names)) <= 1 + DRAWN
    seeds = [one.seed for one in asker.questions]
    assert seeds.count(None) == FIRST + 3 and seeds.count(5) == seeds.count(6) == FIRST + 3
    assert len(seeds) == (DRAWN + 1) * (FIRST + 3)  # nothing is misjudged, so nothing is corrected
    assert {one.contrast for one in asker.questions} == {tuple(CATALOGUE.titles[20:23])}
    assert len(asker.verdicts_asked) == len(NAMES) * len(SELECT.item)  # each name and item once


def test_three_of_the_first_eight_must_hold_and_differ() -> None:
    assert written(FIRST, Asker(*NAMES[:3], *["Neither"] * 5)).writes
    assert not written(FIRST, Asker(*NAMES[:2], *["Neither"] * 6)).writes
    same = written(FIRST, Asker(*["A even"] * 4, "B even", *["Neither"] * 3))
    assert not same.writes and same.counts == {"held": 2, "repeated": 3, NOT_HOLDING: 3}


def test_a_model_that_could_not_write_last_night_is_not_asked() -> None:
    asker = Asker(*NAMES)
    assert not written(2 * FIRST, asker, wrote=False).writes and not asker.questions


def test_a_few_names_do_not_say_that_a_model_no_longer_writes() -> None:
    assert written(2, Asker("Neither"), wrote=True).writes
    assert not written(FIRST, Asker("Neither"), wrote=True).writes


def test_the_best_name_is_corrected_once_from_the_cases_it_misjudges(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(request: Request) -> Completion:
        wrong = "Film 4 " in request.prompt or "Film 7 " in request.prompt
        return Completion(None, float(("even" in request.prompt) != wrong), "ok", 1)

    asker = Asker(*NAMES)
    monkeypatch.setattr(asker, "verdicts", lambda requests, *_: [reply(request) for request in requests])
    written(FIRST, asker)
    corrected = [one for one in asker.questions if one.tried]
    assert len(corrected) == FIRST and {one.tried for one in corrected} <= set(NAMES)
    assert {one.items[0] for one in corrected} == {"Film 4 even"} and {len(one.items) for one in corrected} == {5}
    assert {one.contrast[0] for one in corrected} == {"Film 7 odd"}


def test_the_worst_misjudged_cases_come_first() -> None:
    cases = SelectCases(np.arange(8), np.arange(8) < 4)
    missed, taken = misjudged(cases, np.array([9.0, -5.0, 8.0, np.nan, 0.0, 1.0, 2.0, 30.0]))
    assert missed.tolist() == [1] and taken.tolist() == [7]
    assert [found.tolist() for found in misjudged(cases, np.arange(8.0, 0, -1))] == [[], []]


def test_hard_negatives_are_explain_cases_in_which_the_latent_does_not_fire() -> None:
    roles = ["top", "level", "near_miss", "near_miss", "near_direction", "random", "popularity"]
    part = np.array(["explain"] * 7 + ["score"] * 7)
    item = np.array([0, 1, 10, 0, 11, 12, 13, *range(20, 27)])
    cases = LatentCases(part, np.array(roles * 2), item, np.arange(14))
    assert hard_negatives(cases).tolist() == [10, 11, 12, 13]
    many = LatentCases(part[:7].repeat(5), np.array(["near_miss"] * 35), np.arange(35), np.arange(35))
    assert len(hard_negatives(many)) == CONTRAST


def test_a_text_holds_if_it_beats_guessing_by_its_error() -> None:
    assert OnSelect(0.67, 0.1, SELECT.item).holds
    assert not OnSelect(0.66, 0.1, SELECT.item).holds and not OnSelect(None, 0.0, SELECT.item).holds
