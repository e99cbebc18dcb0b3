"""Prompts about a list of items, truncated until they fit the language model's context.

A prompt that is too long is asked again with half its items and, once a single item remains, with half of that item's
text. Only the affected prompt is retried, never its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self

from recsae.labels import prompts
from recsae.llm.pool import Completion, Request

Ask = Callable[[Sequence[Request]], list[Completion]]
"""Returns one answer per request, in order."""


class Question(Protocol):
    """Asks about a list of items, and can do so with less of it."""

    def request(self) -> Request:
        """The prompt, whole."""

    def shortened(self) -> Self | None:
        """The question with less text; None if nothing can be removed."""


class LikelihoodQuestion(NamedTuple):
    """Asks how likely `concept` is as what a list of items has in common."""

    items: tuple[str, ...]
    """Most informative first."""
    concept: str

    def request(self) -> Request:
        return Request("loglikelihood", prompts.rank(self.items), prompts.continuation(self.concept))

    def shortened(self) -> LikelihoodQuestion | None:
        items = halved(self.items)
        return None if items is None else self._replace(items=items)


class NameQuestion(NamedTuple):
    """Asks for a name of what `items` have and `contrast` has not."""

    items: tuple[str, ...]
    """Most informative first."""
    contrast: tuple[str, ...] = ()
    seed: int | None = None
    """As in Request."""
    tried: str | None = None
    """A name that misjudges the first items of both lists."""

    def request(self) -> Request:
        return Request("generate", prompts.name(self.items, self.contrast, self.tried), seed=self.seed)

    def shortened(self) -> NameQuestion | None:
        lists = halved_lists(self.items, self.contrast)
        return lists and self._replace(items=lists[0], contrast=lists[1])


class CaptionQuestion(NamedTuple):
    """Asks for a sentence about a statement of `items`, in contrast to others."""

    items: tuple[str, ...]
    """Most informative first."""
    contrast: tuple[str, ...]
    words: str
    """The statement read out."""
    seed: int | None = None
    """As in Request."""

    def request(self) -> Request:
        return Request("generate", prompts.caption(self.items, self.contrast, self.words), seed=self.seed)

    def shortened(self) -> CaptionQuestion | None:
        lists = halved_lists(self.items, self.contrast)
        return lists and self._replace(items=lists[0], contrast=lists[1])


def halved_lists(items: tuple[str, ...], contrast: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The first half of the longer list, in the end of the only item's text; None if nothing can be removed."""
    if len(contrast) > len(items) or (contrast and len(items) == 1):
        return items, contrast[: len(contrast) // 2]
    fewer = halved(items)
    return None if fewer is None else (fewer, contrast)


def halved(items: tuple[str, ...]) -> tuple[str, ...] | None:
    """The first half of the items, or of the text of the only item; None if nothing can be removed."""
    if len(items) > 1:
        return items[: len(items) // 2]
    if items and len(items[0]) > 1:
        return (items[0][: len(items[0]) // 2],)
    return None


class QuestionResults(NamedTuple):
    """The answers to a batch of questions, and what they cost."""

    answers: list[Completion]
    """One per question, in order."""
    requests: int
    truncated: int
    """Number of questions that had to be shortened."""


def ask_with_truncation(questions: Sequence[Question], ask: Ask) -> QuestionResults:
    """Answers all questions, shortening those that come back `too_long` until they fit or nothing can be removed."""
    answers = ask([question.request() for question in questions])
    requests, truncated = len(questions), dict[int, Question]()
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
