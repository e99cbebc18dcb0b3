"""An OpenAI-compatible endpoint that writes free names, with the same `ask` as the pool of engines.

The client retries what is temporary (a busy server, a timeout) with exponential back-off; a row that still fails gets a
status. An endpoint that cannot serve at all ends the stage, and earlier answers stay stored. The key never leaves the
client.
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
from recsae.llm.loglikelihood import text_status
from recsae.llm.pool import WAIT_SECONDS, Completion, Meter, Request
from recsae.text.redaction import redact_secrets, redact_uri

KEY = "RECSAE_ENDPOINT_KEY"
"""The environment variable that holds the key."""
CHUNK = 16
"""Rows that are yielded together: few enough to lose little to a kill."""
RETRIES = 5
"""Of one row, half a second to eight seconds apart, or as the server says."""
TIMEOUT = 120.0
"""Seconds that one try may take."""
GIVE_UP = 32
"""Failed rows with no answered one between them after which the rest is not asked."""
MAX_TOKENS = 256
MESSAGE_LIMIT = 160
"""Letters of what a server says that are kept in a status."""
FAILURES = ("failed", "refused")
"""How the status of a row begins that was not answered: by a server in trouble, or on account of the row."""
LENGTHS = ("minLength", "maxLength")


class EndpointPool:
    """`at_once` requests under way at a time, `generate` only."""

    def __init__(self, endpoint: EndpointConfig, at_once: int) -> None:
        self._endpoint, self._at_once = endpoint, at_once
        self._key = os.environ.get(KEY, "")
        self._answered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        """Yield (indices, their answers) as chunks finish, checked against the JSON schema where one is given.

        Raises BadInput where the endpoint cannot be reached, where it refuses our key or does not know the model, and
        where it answers no row.
        """
        if not requests:
            return
        if any(request.kind != "generate" for request in requests):
            raise ValueError("an endpoint answers generate requests only")
        meter = Meter(self._endpoint.model)
        meter.start()
        held: list[tuple[range, list[Completion]]] = []  # failed, and not yet known to have failed by themselves
        rows = 0
        for indices, answers in self._chunks(requests, schema):
            meter.add(answers)
            held.append((indices, answers))
            rows += len(indices)
            if any(answer.status.partition(":")[0] not in FAILURES for answer in answers):
                self._answered = True
                yield from held
                held, rows = [], 0
            if rows >= GIVE_UP:
                break
        meter.finish()
        if held and (rows >= GIVE_UP or not self._answered):
            raise self._unusable(f"{rows} rows in a row were not answered, the last one {held[-1][1][-1].status}")
        yield from held

    def _chunks(
        self, requests: Sequence[Request], schema: dict[str, Any] | None
    ) -> Iterator[tuple[range, list[Completion]]]:
        from openai import AsyncOpenAI

        for name in ("openai", "httpx", "httpx2"):  # They report each request.
            logging.getLogger(name).setLevel(logging.WARNING)
        starts = range(0, len(requests), CHUNK)
        following = iter([range(start, min(start + CHUNK, len(requests))) for start in starts])
        useful = math.ceil(self._at_once / CHUNK) + 1
        with asyncio.Runner() as runner:
            client = AsyncOpenAI(
                base_url=self._endpoint.url, api_key=self._key or "none", max_retries=RETRIES, timeout=TIMEOUT
            )
            gate = asyncio.Semaphore(self._at_once)
            loop = runner.get_loop()

            async def together(indices: range) -> list[Completion]:
                return await asyncio.gather(*(self._row(client, gate, requests[index], schema) for index in indices))

            running: dict[asyncio.Task[list[Completion]], range] = {}
            while True:
                for indices in islice(following, useful - len(running)):
                    running[loop.create_task(together(indices))] = indices
                if not running:
                    break
                done, _ = runner.run(_first_of(running))
                for task in done:
                    yield running.pop(task), task.result()
            runner.run(client.close())

    async def _row(
        self, client: Any, gate: asyncio.Semaphore, request: Request, schema: dict[str, Any] | None
    ) -> Completion:
        import openai

        form = {"name": "answer", "schema": schema}
        settings = {"response_format": {"type": "json_schema", "json_schema": form}} if schema else {}
        async with gate:
            try:
                found = await client.chat.completions.create(
                    model=self._endpoint.model,
                    messages=[{"role": "user", "content": request.prompt}],
                    temperature=0,
                    max_tokens=MAX_TOKENS,
                    **settings,
                )
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                raise self._unusable(f"{KEY} is {'refused' if self._key else 'not set'}: {error}") from None
            except openai.NotFoundError as error:
                raise self._unusable(f"there is no such address, or no model {self._endpoint.model}: {error}") from None
            except openai.APITimeoutError:
                return Completion(None, None, "failed: timeout", 0)
            except openai.APIConnectionError as error:
                raise self._unusable(f"it cannot be reached: {error.__cause__ or error}") from None
            except (openai.OpenAIError, ValueError) as error:
                return Completion(None, None, self._status(error), 0)
        return self._answer(found, schema)

    def _answer(self, found: Any, schema: dict[str, Any] | None) -> Completion:
        choices = getattr(found, "choices", None)
        if not choices or choices[0].message is None:
            return Completion(None, None, "refused: what came back is no chat completion", 0)
        usage, message = getattr(found, "usage", None), choices[0].message
        tokens = int(usage.total_tokens or 0) if usage else 0
        if not message.content:
            said = self._said(getattr(message, "refusal", None) or "no text")
            return Completion(None, None, f"refused: {said}", tokens)
        text = message.content.strip()
        return Completion(text, None, text_status(text, _any_length(schema)), tokens)

    def _status(self, error: Exception) -> str:
        code, said = getattr(error, "status_code", None), self._said(str(error))
        if code == 413 or "context_length_exceeded" in said or "context length" in said:
            return "too_long"
        return f"{'failed' if code == 429 or (code or 0) >= 500 else 'refused'}: {said}"

    def _said(self, text: str) -> str:
        """A server's words in one short line; some repeat the key, or the address with its password."""
        return clean(redact_secrets(text.replace(self._key, "…") if self._key else text), MESSAGE_LIMIT)

    def _unusable(self, why: str) -> BadInput:
        return BadInput(
            f"labels.endpoint.url = {redact_uri(self._endpoint.url)}: {self._said(why)}; mend it, and run again"
        )


async def _first_of(tasks: Any) -> Any:
    return await asyncio.wait(tasks, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)


def _any_length(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema without bounds of length: not every endpoint keeps them, and what is too long can be cut."""
    if schema is None or "properties" not in schema:
        return schema
    shapes = {
        name: {key: value for key, value in shape.items() if key not in LENGTHS}
        for name, shape in schema["properties"].items()
    }
    return {**schema, "properties": shapes}
