"""Asks the language model each question once: answers are stored as they come and found again after a kill.

An answer is keyed by the text of its question, so a resumed stage writes the same rows to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from recsae.llm.pool import Completion, Request
from recsae.observability import progress
from recsae.store.progress import Progress

ANSWERS = pa.schema(
    [
        pa.field("key", pa.binary(16), nullable=False),
        pa.field("text", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ],
    metadata={"recsae.table": "answers", "recsae.version": "1"},
)


class Pool(Protocol):
    """Answers requests: a pool of engines, or an endpoint."""

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        """Yield (indices, their answers) as they come, each index once."""


def key(request: Request) -> bytes:
    """16 bytes that identify the question."""
    return hashlib.blake2b("\0".join(request).encode(), digest_size=16).digest()


def ask_once(
    requests: Sequence[Request],
    pool: Pool,
    stored: Progress,
    name: str,
    schema: dict[str, Any] | None = None,
    *,
    phase: str | None = None,
    latents: int | None = None,
) -> list[Completion]:
    """One answer per request, in order. The pool gets only questions without a stored answer, each of them once.

    `phase` is shown as progress; it counts the `latents` that the requests serve, each as much as another, or requests.
    """
    keys = [key(request) for request in requests]
    rows = stored.rows(name, ANSWERS)
    columns = [rows[column].to_pylist() for column in ("text", "value", "status", "tokens")]
    answers = {done: Completion(*row) for done, *row in zip(rows["key"].to_pylist(), *columns, strict=True)}
    missing = {done: request for done, request in zip(keys, requests, strict=True) if done not in answers}
    open_keys, questions = list(missing), len(set(keys))
    if missing:
        total, unit = (questions, "requests") if latents is None else (latents, "latents")
        done = total * (1 - len(missing) / questions)
        progress.phase(phase or name, total, unit, done=done, steps=len(missing))
    for indices, chunk in pool.ask(list(missing.values()), schema):
        fresh = {open_keys[index]: answer for index, answer in zip(indices, chunk, strict=True)}
        answers.update(fresh)
        texts, values, statuses, tokens = zip(*fresh.values(), strict=True)
        columns_of = {"key": list(fresh), "text": texts, "value": values, "status": statuses, "tokens": tokens}
        stored.append(name, pa.table(columns_of, schema=ANSWERS))
    return [answers[done] for done in keys]
