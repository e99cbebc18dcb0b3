"""A fake engine pool: answers from the words of the prompt and records every request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from recsae.llm.pool import Completion, Request
from recsae.observability.progress import Phase, state

Reply = Callable[[Request], Completion]


def noise(request: Request) -> float:
    """A pseudo-random number in [0, 1), determined by the request."""
    return hashlib.blake2b("|".join(request[:3]).encode(), digest_size=2).digest()[0] / 256


def knowing(request: Request) -> Completion:
    """A higher likelihood if the concept occurs in the prompt; names come from the first attribute in the evidence."""
    if request.kind == "generate":
        evidence = request.prompt.rpartition("<<<")[2]  # after the worked examples
        word = evidence.split("genres: ")[1].split(")")[0]
        text = json.dumps({"name": f"{word} films", "description": f"These are {word} films."})
        return Completion(text, None, "ok", 3)
    word = request.continuation.strip().removesuffix(" films")
    return Completion(None, noise(request) + (3.0 if word in request.prompt else -3.0), "ok", 3)


class FakePool:
    """Answers in small chunks, in reverse order."""

    def __init__(self, reply: Reply = knowing, size: int = 5, dies_after: int | None = None) -> None:
        self.reply, self.size, self.dies_after = reply, size, dies_after
        self.asked: list[Request] = []
        self.schemas: list[dict[str, Any] | None] = []
        self.phases: list[Phase | None] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        self.schemas.append(schema)
        self.phases.append(replace(state.phase) if state.phase else None)
        starts = range(0, len(requests), self.size)
        for chunk, start in enumerate(reversed(starts)):
            if self.dies_after is not None and chunk >= self.dies_after:
                raise ConnectionError("killed")
            indices = range(start, min(start + self.size, len(requests)))
            self.asked += [requests[index] for index in indices]
            yield indices, [self.reply(requests[index]) for index in indices]
