"""Questions are cut until they fit, each by itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from recsae.labels import prompts
from recsae.labels.truncation import ListQuestion, ask_fitting
from recsae.llm.pool import Completion, Request


class Limited:
    """Answers with the prompt's number of letters; longer ones than `limit` are too long."""

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
    assert ListQuestion(("A", "B"), "War").request() == Request("loglikelihood", prompts.rank(["A", "B"]), " War")
    assert ListQuestion(("A", "B")).request() == Request("generate", prompts.name(["A", "B"]))


def test_what_fits_is_asked_once_and_whole() -> None:
    ask = Limited(10**6)
    questions = [ListQuestion(items(count), "War") for count in (0, 1, 8)]
    told = ask_fitting(questions, ask)
    assert ask.rounds == [[question.request() for question in questions]]
    assert (told.requests, told.truncated) == (3, 0)
    assert [answer.value for answer in told.answers] == [letters_of(*items(count)) for count in (0, 1, 8)]
    assert ask_fitting([], ask).answers == []


def test_half_the_items_and_then_half_the_text() -> None:
    """The first items are kept: they come from the strongest cases."""
    eight, long = ListQuestion(items(8), "War"), ListQuestion(items(3, 100), "War")
    ask = Limited(letters_of(*items(2)))
    told = ask_fitting([eight, ListQuestion(items(1), "War"), long], ask)
    shown = [[request.prompt for request in round] for round in ask.rounds]
    assert [len(round) for round in shown] == [3, 2, 2, 1, 1]
    assert shown[1] == [prompts.rank(list(items(4))), prompts.rank([items(1, 100)[0]])]
    assert shown[2] == [prompts.rank(list(items(2))), prompts.rank(["0" * 50])]
    assert shown[4] == [prompts.rank(["0" * 12])]
    assert [answer.status for answer in told.answers] == ["ok"] * 3
    assert told.answers[0].value == letters_of(*items(2)) and told.answers[1].value == letters_of(*items(1))
    assert (told.requests, told.truncated) == (9, 2)


@pytest.mark.parametrize("shown", [(), ("",), items(5), ("x",)])
def test_what_never_fits_ends_and_keeps_its_status(shown: tuple[str, ...]) -> None:
    told = ask_fitting([ListQuestion(shown, "War"), ListQuestion((), "Sea")], Limited(0))
    assert [answer.status for answer in told.answers] == ["too_long"] * 2


def test_another_failure_is_not_asked_again() -> None:
    rounds: list[int] = []

    def ask(requests: Sequence[Request]) -> list[Completion]:
        rounds.append(len(requests))
        return [Completion(None, None, "refused: no", 0) for _ in requests]

    told = ask_fitting([ListQuestion(items(4))], ask)
    assert rounds == [1] and told.truncated == 0 and told.answers[0].status == "refused: no"
