"""Prompts about a list of items, truncated until they fit the language model's context.

A prompt that is too long is asked again with half its items and, once a single item remains, with half of that item's
text. Only the affected prompt is retried, never its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from recsae.labels import prompts
from recsae.llm.pool import Completion, Request

Ask = Callable[[Sequence[Request]], list[Completion]]
"""Returns one answer per request, in order."""


class ListQuestion(NamedTuple):
    """Asks what a list of items has in common: the likelihood of `concept`, or a name if there is none."""

    items: tuple[str, ...]
    """Most informative first."""
    concept: str | None = None

    def request(self) -> Request:
        if self.concept is None:
            return Request("generate", prompts.name(list(self.items)))
        return Request("loglikelihood", prompts.rank(list(self.items)), prompts.continuation(self.concept))

    def shortened(self) -> ListQuestion | None:
        """The question with half its items, or half the text of its only item; None if nothing can be removed."""
        if len(self.items) > 1:
            return self._replace(items=self.items[: len(self.items) // 2])
        if self.items and len(self.items[0]) > 1:
            return self._replace(items=(self.items[0][: len(self.items[0]) // 2],))
        return None


class QuestionResults(NamedTuple):
    """The answers to a batch of questions, and what they cost."""

    answers: list[Completion]
    """One per question, in order."""
    requests: int
    truncated: int
    """Number of questions that had to be shortened."""


def ask_with_truncation(questions: Sequence[ListQuestion], ask: Ask) -> QuestionResults:
    """Answers all questions, shortening those that come back `too_long` until they fit or nothing can be removed."""
    answers = ask([question.request() for question in questions])
    requests, truncated = len(questions), dict[int, ListQuestion]()
    while True:
        retries = {
            index: shortened
            for index, answer in enumerate(answers)
            if answer.status == "too_long" and (shortened := truncated.get(index, questions[index]).shortened())
        }
        if not retries:
            return QuestionResults(answers, requests, len(truncated))
        truncated |= retries
        requests += len(retries)
        for index, answer in zip(retries, ask([question.request() for question in retries.values()]), strict=True):
            answers[index] = answer
