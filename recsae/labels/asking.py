"""What the stage asks: names of the language model or an endpoint, likelihoods and verdicts of the language model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from recsae.config.schema import Config
from recsae.labels.truncation import Question, QuestionResults, ask_with_truncation
from recsae.llm.answer_cache import Pool, ask_once
from recsae.llm.endpoint import EndpointPool
from recsae.llm.pool import Completion, EnginePool, Request
from recsae.store.progress import Progress


class Asker:
    """Asks the engines, or the endpoint for what is written; every answer is kept in the stage's progress."""

    def __init__(self, engines: Pool, writer: Pool, stored: Progress, author: str) -> None:
        self._engines, self._writer, self._stored = engines, writer, stored
        self.author = author
        """The model that writes names."""
        self.results: list[QuestionResults] = []
        """Everything asked so far."""

    def write(
        self, questions: Sequence[Question], schema: dict[str, Any], phase: str, latents: int, name: str
    ) -> list[Completion]:
        """Texts that follow the JSON schema; `name` is that of the stored answers."""
        return self._ask(questions, self._writer, schema, phase, latents, name)

    def likelihoods(self, questions: Sequence[Question], phase: str, latents: int) -> list[Completion]:
        return self._ask(questions, self._engines, None, phase, latents, "likelihoods")

    def verdicts(self, requests: Sequence[Request], phase: str, latents: int) -> list[Completion]:
        answers = ask_once(requests, self._engines, self._stored, "verdicts", phase=phase, latents=latents)
        self.results.append(QuestionResults(answers, len(requests), 0))
        return answers

    def _ask(
        self,
        questions: Sequence[Question],
        pool: Pool,
        schema: dict[str, Any] | None,
        phase: str,
        latents: int,
        name: str,
    ) -> list[Completion]:
        def ask(requests: Sequence[Request]) -> list[Completion]:
            served = math.ceil(latents * len(requests) / max(len(questions), 1))
            words = phase if len(requests) == len(questions) else f"{phase}, of shortened lists"
            return ask_once(requests, pool, self._stored, name, schema, phase=words, latents=served)

        self.results.append(ask_with_truncation(questions, ask))
        return self.results[-1].answers


@contextmanager
def asker(config: Config, engines: EnginePool, stored: Progress) -> Iterator[Asker]:
    """An asker of the engines whose names come from the endpoint, if there is one."""
    endpoint = config.labels.endpoint
    author = endpoint.model if endpoint else config.llm.model
    with EndpointPool(endpoint, config.resources.endpoint_requests) if endpoint else nullcontext(engines) as writer:
        yield Asker(engines, writer, stored, author)
