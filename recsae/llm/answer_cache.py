"""Questions to the language model that are asked once: answers are kept as they come and found again after a kill.

An answer is keyed by the words of its question, so that rows done before are the same to the byte afterwards. It knows
questions and answers, and not what they are for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from recsae.llm.pool import Completion, Request
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
    """Whoever answers: a pool of engines, or an endpoint."""

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None, latents: int | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        """Yield (indices, their answers) as they come, each index once. `latents`: how many the requests serve."""


def key(request: Request) -> bytes:
    """16 bytes that stand for the whole question."""
    return hashlib.blake2b("\0".join(request).encode(), digest_size=16).digest()


def ask_once(
    requests: Sequence[Request],
    pool: Pool,
    progress: Progress,
    name: str,
    schema: dict[str, Any] | None = None,
    latents: int | None = None,
) -> list[Completion]:
    """One answer a request, in order. Only questions without a kept answer reach the pool, each of them once.

    `latents`: how many the requests serve, for the pool's log; of these the pool is told the share still open.
    """
    keys = [key(request) for request in requests]
    kept = progress.rows(name, ANSWERS)
    columns = [kept[column].to_pylist() for column in ("text", "value", "status", "tokens")]
    answers = {done: Completion(*row) for done, *row in zip(kept["key"].to_pylist(), *columns, strict=True)}
    missing = {done: request for done, request in zip(keys, requests, strict=True) if done not in answers}
    open_keys = list(missing)
    if latents is not None and missing:
        latents = math.ceil(latents * len(missing) / len(set(keys)))
    for indices, chunk in pool.ask(list(missing.values()), schema, latents):
        fresh = {open_keys[index]: answer for index, answer in zip(indices, chunk, strict=True)}
        answers.update(fresh)
        texts, values, statuses, tokens = zip(*fresh.values(), strict=True)
        rows = {"key": list(fresh), "text": texts, "value": values, "status": statuses, "tokens": tokens}
        progress.append(name, pa.table(rows, schema=ANSWERS))
    return [answers[done] for done in keys]
