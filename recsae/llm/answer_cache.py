"""Caches the language model's answers: each distinct question is asked once, and answers survive a killed process.

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
    """Anything that answers requests: an engine pool or an endpoint."""

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        """Yield (indices, answers) in order of completion, each index once."""


def key(request: Request) -> bytes:
    """A 16-byte hash of the request."""
    return hashlib.blake2b("\0".join(map(str, request)).encode(), digest_size=16).digest()


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
    """One completion per request, in order; the pool is asked each distinct question without a stored answer once.

    `phase` names the progress phase. It counts `latents`, assuming equally many requests for each, or else requests.
    """
    keys = [key(request) for request in requests]
    rows = stored.rows(name, ANSWERS)
    columns = [rows[column].to_pylist() for column in ("text", "value", "status", "tokens")]
    answers = {known: Completion(*row) for known, *row in zip(rows["key"].to_pylist(), *columns, strict=True)}
    missing = {new: request for new, request in zip(keys, requests, strict=True) if new not in answers}
    missing_keys, questions = list(missing), len(set(keys))
    if missing:
        total, unit = (questions, "requests") if latents is None else (latents, "latents")
        done = total * (1 - len(missing) / questions)
        progress.phase(phase or name, total, unit, done=done, steps=len(missing))
    for indices, chunk in pool.ask(list(missing.values()), schema):
        fresh = {missing_keys[index]: answer for index, answer in zip(indices, chunk, strict=True)}
        answers.update(fresh)
        texts, values, statuses, tokens = zip(*fresh.values(), strict=True)
        columns_of = {"key": list(fresh), "text": texts, "value": values, "status": statuses, "tokens": tokens}
        stored.append(name, pa.table(columns_of, schema=ANSWERS))
    return [answers[known] for known in keys]
