"""Retries requests to a job server that may be unreachable for a while, with exponential back-off."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import aiohttp
import requests
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from recsae.submission.errors import NightStopped

PATIENCE = 600.0
"""Total seconds of consecutive waits before giving up; replacing a head takes minutes."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds of the first wait and of the longest."""
Answer = TypeVar("Answer")

_TRANSIENT = (
    ConnectionError,
    TimeoutError,
    asyncio.TimeoutError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    aiohttp.ClientError,
)


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed: no connection, a broken connection, or a server error."""
    if isinstance(error, _TRANSIENT):
        return True
    return isinstance(error, RuntimeError) and bool(re.search(r"status code 5\d\d|WebSocket", str(error)))


def reach(request: Callable[[], Answer], pause: Callable[[float], None], notify: Callable[[str], None]) -> Answer:
    """The result of `request`, retried until PATIENCE runs out. Raises NightStopped after that."""

    def notify_wait(state: RetryCallState) -> None:
        wait = state.next_action.sleep if state.next_action else 0.0
        notify(f"the job server is out of reach ({_reason(state)}); trying again in {wait:.0f} s")

    def give_up(state: RetryCallState) -> Answer:
        raise NightStopped(
            f"the job server was out of reach for {state.idle_for:.0f} s ({_reason(state)}); submitted jobs "
            "keep running; run the same command once the server is back"
        ) from None

    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        stop=lambda state: state.idle_for >= PATIENCE,
        sleep=pause,
        before_sleep=notify_wait,
        retry_error_callback=give_up,
    )(request)


def _reason(state: RetryCallState) -> str:
    """The server's message; for a failed connection only the error type, since its text may quote the request."""
    error = state.outcome.exception() if state.outcome else None
    if type(error) is RuntimeError:
        return str(error).strip().splitlines()[-1].rstrip(".")[-200:]
    return type(error).__name__
