"""Questions are shortened until they fit, independently of each other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from recsae.labels import prompts
from recsae.labels.truncation import LikelihoodQuestion, NameQuestion, ask_with_truncation
from recsae.llm.pool import Completion, Request


class Limited:
    """Answers with the length of the prompt; prompts longer than `limit` letters are `too_long`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rounds: list[list[Request]] = []

    def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        self.rounds.append(list(requests))
        return [
            Completion(None, float(len(request.prompt)), "ok", 1)
            if len(request.prompt) <= self.limit
            else Completion(None, None, "too_long", 1)
            for request in requests
        ]


def items(count: int, letters: int = 10) -> tuple[str, ...]:
    return tuple(f"{number:0{letters}d}" for number in range(count))


def letters_of(*shown: str) -> int:
    return len(prompts.rank(list(shown)))


def test_a_question_is_a_request() -> None:
    assert LikelihoodQuestion(("A", "B"), "War").request() == Request("loglikelihood", prompts.rank(["A", "B"]), " War")
    drawn = NameQuestion(("A", "B"), ("C",), seed=7, tried="War").request()
    assert drawn == Request("generate", prompts.name(["A", "B"], ["C"], "War"), seed=7)


def test_questions_that_fit_are_asked_once_and_unchanged() -> None:
    ask = Limited(10**6)
    questions = [LikelihoodQuestion(items(count), "War") for count in (0, 1, 8)]
    results = ask_with_truncation(questions, ask)
    assert ask.rounds == [[question.request() for question in questions]]
    assert (results.requests, results.truncated) == (3, 0)
    assert [answer.value for answer in results.answers] == [letters_of(*items(count)) for count in (0, 1, 8)]
    assert ask_with_truncation([], ask).answers == []


def test_items_are_halved_and_then_the_text() -> None:
    """The first items are kept: they come from the strongest cases."""
    eight, long = LikelihoodQuestion(items(8), "War"), LikelihoodQuestion(items(3, 100), "War")
    ask = Limited(letters_of(*items(2)))
    results = ask_with_truncation([eight, LikelihoodQuestion(items(1), "War"), long], ask)
    shown = [[request.prompt for request in round] for round in ask.rounds]
    assert [len(round) for round in shown] == [3, 2, 2, 1, 1]
    assert shown[1] == [prompts.rank(list(items(4))), prompts.rank([items(1, 100)[0]])]
    assert shown[2] == [prompts.rank(list(items(2))), prompts.rank(["0" * 50])]
    assert shown[4] == [prompts.rank(["0" * 12])]
    assert [answer.status for answer in results.answers] == ["ok"] * 3
    assert results.answers[0].value == letters_of(*items(2)) and results.answers[1].value == letters_of(*items(1))
    assert (results.requests, results.truncated) == (9, 2)


@pytest.mark.parametrize("shown", [(), ("",), items(5), ("x",)])
def test_questions_that_never_fit_end_as_too_long(shown: tuple[str, ...]) -> None:
    results = ask_with_truncation([LikelihoodQuestion(shown, "War"), LikelihoodQuestion((), "Sea")], Limited(0))
    assert [answer.status for answer in results.answers] == ["too_long"] * 2


def test_other_failures_are_not_retried() -> None:
    rounds: list[int] = []

    def ask(requests: Sequence[Request]) -> list[Completion]:
        rounds.append(len(requests))
        return [Completion(None, None, "refused: no", 0) for _ in requests]

    results = ask_with_truncation([NameQuestion(items(4))], ask)
    assert rounds == [1] and results.truncated == 0 and results.answers[0].status == "refused: no"


def test_both_lists_of_a_naming_question_are_halved() -> None:
    asked: NameQuestion | None = NameQuestion(items(3), items(4), seed=1, tried="War")
    lengths = []
    while asked is not None:
        lengths.append((len(asked.items), len(asked.contrast)))
        assert (asked.seed, asked.tried) == (1, "War")
        last, asked = asked, asked.shortened()
    assert list(dict.fromkeys(lengths)) == [(3, 4), (3, 2), (1, 2), (1, 1), (1, 0)]
    assert last.items == ("0",)
