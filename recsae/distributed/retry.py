"""Trying again where a node, a worker or the way to them was lost, after a wait that doubles.

A full disk is told in one sentence instead: it would be as full the next time. It knows how losses show, and nothing of
what is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from recsae.errors import BadInput, error_chain

log = logging.getLogger(__name__)

FIRST_WAIT = 5.0
"""Seconds; Ray has declared a silent node dead by then, and an autoscaler has begun to replace it."""
LONGEST_WAIT = 300.0
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
            if tried == retries or not _lost(error):
                raise
            wait = min(FIRST_WAIT * 2**tried, LONGEST_WAIT)
            tried += 1
            reason = str(error).strip().splitlines()[0]
            log.warning("%s: lost (%s); try %d of %d in %.0f s", what, reason, tried, retries, wait)
            (sleep or time.sleep)(wait)


def _lost(error: Exception) -> bool:
    """Whether a node, a worker or an object of Ray was lost."""
    from ray import exceptions
    from ray.train.v2.api.exceptions import ControllerError, PreemptionError

    kinds = (
        exceptions.RayActorError,
        exceptions.NodeDiedError,
        exceptions.WorkerCrashedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
        exceptions.RpcError,
        ControllerError,
        PreemptionError,
    )
    return any(isinstance(one, kinds) for one in error_chain(error))


def _full(error: Exception) -> str | None:
    from ray.exceptions import OutOfDiskError

    for one in error_chain(error):
        if isinstance(one, OutOfDiskError):
            return "Ray's own spill folder"
        for line in str(one).splitlines():
            if FULL in line.casefold():
                return line.strip()[:200]
    return None
