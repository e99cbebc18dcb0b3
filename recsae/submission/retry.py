"""Asking a job server that may be away for a while: again, each time after a longer pause, within bounds.

It knows which errors pass and nothing of what was asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import aiohttp
import requests

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


def passes(error: Exception) -> bool:
    """Whether it may work a little later: no connection, a broken one, or a server that says it is at fault."""
    if isinstance(error, _AWAY):
        return True
    return isinstance(error, RuntimeError) and bool(re.search(r"status code 5\d\d|WebSocket", str(error)))


def reach(ask: Callable[[], Answer], pause: Callable[[float], None], tell: Callable[[str], None]) -> Answer:
    """The answer, after as many tries as it takes within PATIENCE. Raises NightStopped after that."""
    wait, waited = FIRST, 0.0
    while True:
        try:
            return ask()
        except Exception as error:
            if not passes(error):
                raise
            if waited >= PATIENCE:
                raise NightStopped(
                    f"the job server was out of reach for {waited:.0f} s ({_reason(error)}); jobs that it had "
                    "taken go on, and the same command finds them once it is back"
                ) from None
            tell(f"the job server is out of reach ({_reason(error)}); trying again in {wait:.0f} s")
        pause(wait)
        waited += wait
        wait = min(2 * wait, LONGEST)


def _reason(error: Exception) -> str:
    """What a server says for itself; of a connection its kind alone, since the rest may quote what was sent."""
    if type(error) is RuntimeError:
        return str(error).strip().splitlines()[-1].rstrip(".")[-200:]
    return type(error).__name__
