"""Retries work after the loss of a node, a worker or a connection, with exponential back-off.

A full disk is not retried but reported in one sentence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from recsae.errors import BadInput, error_chain

log = logging.getLogger(__name__)

FIRST_WAIT = 5.0
"""Seconds; by then Ray has declared a silent node dead and an autoscaler has started to replace it."""
LONGEST_WAIT = 300.0
DISK_FULL = "no space left on device"

Done = TypeVar("Done")


def retrying(work: Callable[[], Done], what: str, retries: int, sleep: Callable[[float], None] | None = None) -> Done:
    """The result of `work`, retried up to `retries` times if a node, a worker or a Ray object is lost.

    Raises BadInput if a disk is full, and any other error unchanged.
    """

    def log_loss(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = str(error).strip().splitlines()[0]
        wait = state.next_action.sleep if state.next_action else 0.0
        log.warning("%s: lost (%s); retry %d of %d in %.0f s", what, reason, state.attempt_number, retries, wait)

    try:
        return Retrying(
            retry=retry_if_exception(lambda error: not _full_disk(error) and _is_lost(error)),
            wait=wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
            stop=stop_after_attempt(retries + 1),
            sleep=sleep or time.sleep,
            before_sleep=log_loss,
            reraise=True,
        )(work)
    except Exception as error:
        if full := _full_disk(error):
            raise BadInput(
                f"{what}: a disk is full ({full}); free some space in store.root or the temporary folder and "
                "run again: finished work is kept"
            ) from error
        raise


def _is_lost(error: BaseException) -> bool:
    """Whether a node, a worker or a Ray object was lost."""
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


def _full_disk(error: BaseException) -> str | None:
    """The message about a full disk in the error's chain; None if there is none."""
    from ray.exceptions import OutOfDiskError

    for one in error_chain(error):
        if isinstance(one, OutOfDiskError):
            return "Ray's own spill folder"
        for line in str(one).splitlines():
            if DISK_FULL in line.casefold():
                return line.strip()[:200]
    return None
