"""Asks a job server that may be unreachable for a while again, with exponential back-off, until patience ends."""

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
"""Seconds of pauses in a row before a server counts as gone; a head that is replaced takes minutes."""
FIRST, LONGEST = 1.0, 30.0
"""Seconds of the first pause, and of the longest."""
Answer = TypeVar("Answer")

_AWAY = (
    ConnectionError,
    TimeoutError,
    asyncio.TimeoutError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    aiohttp.ClientError,
)


def passes(error: BaseException) -> bool:
    """Whether it may work a little later: no connection, a broken one, or a server that says it is at fault."""
    if isinstance(error, _AWAY):
        return True
    return isinstance(error, RuntimeError) and bool(re.search(r"status code 5\d\d|WebSocket", str(error)))


def reach(ask: Callable[[], Answer], pause: Callable[[float], None], tell: Callable[[str], None]) -> Answer:
    """The answer, after as many tries as it takes within PATIENCE. Raises NightStopped after that."""

    def tell_wait(state: RetryCallState) -> None:
        wait = state.next_action.sleep if state.next_action else 0.0
        tell(f"the job server is out of reach ({_reason(state)}); trying again in {wait:.0f} s")

    def give_up(state: RetryCallState) -> Answer:
        raise NightStopped(
            f"the job server was out of reach for {state.idle_for:.0f} s ({_reason(state)}); jobs that it had "
            "taken go on, and the same command finds them once it is back"
        ) from None

    return Retrying(
        retry=retry_if_exception(passes),
        wait=wait_exponential(multiplier=FIRST, max=LONGEST),
        stop=lambda state: state.idle_for >= PATIENCE,
        sleep=pause,
        before_sleep=tell_wait,
        retry_error_callback=give_up,
    )(ask)


def _reason(state: RetryCallState) -> str:
    """The server's own message; of a failed connection only the type, since its text may quote what was sent."""
    error = state.outcome.exception() if state.outcome else None
    if type(error) is RuntimeError:
        return str(error).strip().splitlines()[-1].rstrip(".")[-200:]
    return type(error).__name__
