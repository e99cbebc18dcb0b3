"""Trying again where a node, a worker or the way to them was lost, after a wait that doubles.

A full disk is told in one sentence instead: it would be as full the next time. It knows how losses show, and nothing of
what is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ray import exceptions
from ray.train.v2.api.exceptions import ControllerError, PreemptionError

from recsae.errors import BadInput

log = logging.getLogger(__name__)

FIRST_WAIT = 5.0
"""Seconds; Ray has declared a silent node dead by then, and an autoscaler has begun to replace it."""
LONGEST_WAIT = 300.0
LOST = (
    exceptions.RayActorError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.RpcError,
    ControllerError,
    PreemptionError,
)
FULL = "no space left on device"

Done = TypeVar("Done")


def retrying(work: Callable[[], Done], what: str, retries: int, sleep: Callable[[float], None] | None = None) -> Done:
    """What `work` returns, tried again up to `retries` times where something was lost.

    Raises BadInput where a disk is full, and any other error as it is.
    """
    tried = 0
    while True:
        try:
            return work()
        except Exception as error:
            if full := _full(error):
                raise BadInput(
                    f"{what}: a disk is full ({full}); free some space of store.root or of the temporary folder and "
                    "run again: what is finished is kept"
                ) from error
            if tried == retries or not any(isinstance(one, LOST) for one in _chain(error)):
                raise
            wait = min(FIRST_WAIT * 2**tried, LONGEST_WAIT)
            tried += 1
            reason = str(error).strip().splitlines()[0]
            log.warning("%s: lost (%s); try %d of %d in %.0f s", what, reason, tried, retries, wait)
            (sleep or time.sleep)(wait)


def _full(error: Exception) -> str | None:
    for one in _chain(error):
        if isinstance(one, exceptions.OutOfDiskError):
            return "Ray's own spill folder"
        for line in str(one).splitlines():
            if FULL in line.casefold():
                return line.strip()[:200]
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what Ray wrapped."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        wrapped = getattr(one, "cause", None)
        waiting += [wrapped] if isinstance(wrapped, BaseException) else []
        waiting += [held for held in getattr(one, "worker_failures", {}).values() if isinstance(held, BaseException)]
