"""A client of an OpenAI-compatible endpoint for free-form names, with the same `ask` as the engine pool.

Transient errors (a busy server, a timeout) are retried with exponential back-off; a row that still fails gets a status.
An unusable endpoint fails the stage; answers received before stay stored. The API key never leaves the client.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Self

from recsae.config.concepts import EndpointConfig
from recsae.data.text import clean
from recsae.errors import BadInput
from recsae.llm.engine import TEMPERATURE
from recsae.llm.loglikelihood import text_status
from recsae.llm.pool import WAIT_SECONDS, Completion, Meter, Request
from recsae.text.redaction import redact_secrets, redact_uri

KEY = "RECSAE_ENDPOINT_KEY"
"""The environment variable that holds the API key."""
CHUNK = 16
"""Rows yielded together; few, so that a killed process loses little."""
RETRIES = 5
"""Retries per row, half a second to eight seconds apart or as the server's Retry-After says."""
TIMEOUT = 120.0
"""Seconds per try."""
MAX_CONSECUTIVE_FAILURES = 32
"""Consecutive failed rows after which the endpoint counts as unusable."""
MAX_TOKENS = 256
MESSAGE_LIMIT = 160
"""Maximum length, in characters, of a server's message in a status."""
FAILED_STATUSES = ("failed", "refused")
"""Status prefixes of rows without an answer: the server failed, or it refused this row."""
LENGTH_BOUNDS = ("minLength", "maxLength")


class EndpointPool:
    """Answers `generate` requests only, `max_concurrent` at a time."""

    def __init__(self, endpoint: EndpointConfig, max_concurrent: int) -> None:
        self._endpoint, self._max_concurrent = endpoint, max_concurrent
        self._key = os.environ.get(KEY, "")
        self._any_answered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        """Yield (indices, answers) as chunks finish, checked against the JSON schema if one is given.

        Raises BadInput if the endpoint cannot be reached, refuses the key, does not know the model or answers no row.
        """
        if not requests:
            return
        if any(request.kind != "generate" for request in requests):
            raise ValueError("an endpoint answers generate requests only")
        meter = Meter(self._endpoint.model)
        meter.start()
        unsettled: list[tuple[range, list[Completion]]] = []  # all failed; yielded once a later row succeeds
        rows = 0
        for indices, answers in self._chunks(requests, schema):
            meter.add(answers)
            unsettled.append((indices, answers))
            rows += len(indices)
            if any(answer.status.partition(":")[0] not in FAILED_STATUSES for answer in answers):
                self._any_answered = True
                yield from unsettled
                unsettled, rows = [], 0
            if rows >= MAX_CONSECUTIVE_FAILURES:
                break
        meter.finish()
        if unsettled and (rows >= MAX_CONSECUTIVE_FAILURES or not self._any_answered):
            raise self._unusable(f"{rows} consecutive rows failed, the last with status {unsettled[-1][1][-1].status}")
        yield from unsettled

    def _chunks(
        self, requests: Sequence[Request], schema: dict[str, Any] | None
    ) -> Iterator[tuple[range, list[Completion]]]:
        from openai import AsyncOpenAI

        for name in ("openai", "httpx", "httpx2"):  # They log every request.
            logging.getLogger(name).setLevel(logging.WARNING)
        starts = range(0, len(requests), CHUNK)
        remaining = iter([range(start, min(start + CHUNK, len(requests))) for start in starts])
        max_chunks = math.ceil(self._max_concurrent / CHUNK) + 1
        with asyncio.Runner() as runner:
            client = AsyncOpenAI(
                base_url=self._endpoint.url, api_key=self._key or "none", max_retries=RETRIES, timeout=TIMEOUT
            )
            limit = asyncio.Semaphore(self._max_concurrent)
            loop = runner.get_loop()

            async def answer_chunk(indices: range) -> list[Completion]:
                return await asyncio.gather(*(self._row(client, limit, requests[index], schema) for index in indices))

            running: dict[asyncio.Task[list[Completion]], range] = {}
            while True:
                for indices in islice(remaining, max_chunks - len(running)):
                    running[loop.create_task(answer_chunk(indices))] = indices
                if not running:
                    break
                done, _ = runner.run(_wait_for_first(running))
                for task in done:
                    yield running.pop(task), task.result()
            runner.run(client.close())

    async def _row(
        self, client: Any, limit: asyncio.Semaphore, request: Request, schema: dict[str, Any] | None
    ) -> Completion:
        import openai

        response_schema = {"name": "answer", "schema": schema}
        settings: dict[str, Any] = (
            {"response_format": {"type": "json_schema", "json_schema": response_schema}} if schema else {}
        )
        if request.seed is not None:
            settings["seed"] = request.seed
        async with limit:
            try:
                response = await client.chat.completions.create(
                    model=self._endpoint.model,
                    messages=[{"role": "user", "content": request.prompt}],
                    temperature=0 if request.seed is None else TEMPERATURE,
                    max_tokens=MAX_TOKENS,
                    **settings,
                )
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                raise self._unusable(f"{KEY} is {'refused' if self._key else 'not set'}: {error}") from None
            except openai.NotFoundError as error:
                raise self._unusable(
                    f"the address or the model {self._endpoint.model} does not exist: {error}"
                ) from None
            except openai.APITimeoutError:
                return Completion(None, None, "failed: timeout", 0)
            except openai.APIConnectionError as error:
                raise self._unusable(f"it cannot be reached: {error.__cause__ or error}") from None
            except (openai.OpenAIError, ValueError) as error:
                return Completion(None, None, self._status(error), 0)
        return self._answer(response, schema)

    def _answer(self, response: Any, schema: dict[str, Any] | None) -> Completion:
        choices = getattr(response, "choices", None)
        if not choices or choices[0].message is None:
            return Completion(None, None, "refused: what came back is no chat completion", 0)
        usage, message = getattr(response, "usage", None), choices[0].message
        tokens = int(usage.total_tokens or 0) if usage else 0
        if not message.content:
            message_text = self._server_message(getattr(message, "refusal", None) or "no text")
            return Completion(None, None, f"refused: {message_text}", tokens)
        text = message.content.strip()
        return Completion(text, None, text_status(text, _without_length_bounds(schema)), tokens)

    def _status(self, error: Exception) -> str:
        code, message_text = getattr(error, "status_code", None), self._server_message(str(error))
        if code == 413 or "context_length_exceeded" in message_text or "context length" in message_text:
            return "too_long"
        return f"{'failed' if code == 429 or (code or 0) >= 500 else 'refused'}: {message_text}"

    def _server_message(self, text: str) -> str:
        """The server's message, shortened and redacted: some servers echo the key, or the URL with its password."""
        return clean(redact_secrets(text.replace(self._key, "…") if self._key else text), MESSAGE_LIMIT)

    def _unusable(self, reason: str) -> BadInput:
        url = redact_uri(self._endpoint.url)
        return BadInput(f"labels.endpoint.url = {url}: {self._server_message(reason)}; fix it and run again")


async def _wait_for_first(tasks: Any) -> Any:
    return await asyncio.wait(tasks, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)


def _without_length_bounds(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema without length bounds: not every endpoint enforces them, and the caller truncates long text."""
    if schema is None or "properties" not in schema:
        return schema
    shapes = {
        name: {key: value for key, value in shape.items() if key not in LENGTH_BOUNDS}
        for name, shape in schema["properties"].items()
    }
    return {**schema, "properties": shapes}
