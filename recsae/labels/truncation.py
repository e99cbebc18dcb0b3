"""Questions about a list of items that are cut until they fit the language model.

What is too long costs its evidence, not its row and never its batch: the row is asked again with half the items, and
when one item is left, with half its text. It knows items as text and prompts, and no latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from recsae.labels import prompts
from recsae.llm.pool import Completion, Request

Ask = Callable[[Sequence[Request]], list[Completion]]
"""One answer a request, in order."""


class ListQuestion(NamedTuple):
    """What a list of items has in common: how likely a concept is, or, without one, its name."""

    items: tuple[str, ...]
    """The most telling first."""
    concept: str | None = None

    def request(self) -> Request:
        if self.concept is None:
            return Request("generate", prompts.name(list(self.items)))
        return Request("loglikelihood", prompts.rank(list(self.items)), prompts.continuation(self.concept))

    def shorter(self) -> ListQuestion | None:
        """With half the items, or half the text of the last one; None where nothing is left to cut."""
        if len(self.items) > 1:
            return self._replace(items=self.items[: len(self.items) // 2])
        if self.items and len(self.items[0]) > 1:
            return self._replace(items=(self.items[0][: len(self.items[0]) // 2],))
        return None


class QuestionResults(NamedTuple):
    """What came of questions."""

    answers: list[Completion]
    """One a question, in order."""
    requests: int
    truncated: int
    """Questions that were asked with less than all their items."""


def ask_fitting(questions: Sequence[ListQuestion], ask: Ask) -> QuestionResults:
    """Ask all; those whose answer is `too_long` again, shorter, until they fit or nothing is left to cut."""
    answers = ask([question.request() for question in questions])
    requests, cut = len(questions), dict[int, ListQuestion]()
    while True:
        again = {
            index: shorter
            for index, answer in enumerate(answers)
            if answer.status == "too_long" and (shorter := cut.get(index, questions[index]).shorter())
        }
        if not again:
            return QuestionResults(answers, requests, len(cut))
        cut |= again
        requests += len(again)
        for index, answer in zip(again, ask([question.request() for question in again.values()]), strict=True):
            answers[index] = answer
