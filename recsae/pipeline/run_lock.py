"""The run lock: one night of a run at a time, by a lease held from the first stage to the last put.

Correctness does not depend on it, since a stage's first manifest wins and `current.json` is one put. It keeps two
drivers from doing the same work.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from recsae.errors import BadInput, NotServed
from recsae.store.progress import Lease

log = logging.getLogger(__name__)


@contextlib.contextmanager
def hold_run_lock(lease: Lease, run: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the lease within the block. Raises BadInput where another driver holds it and is alive.

    A dead driver has no heartbeat; telling it from a live one takes up to the lease's own seconds.
    """
    logged = False
    while not lease.try_acquire():
        if lease.heard and lease.seen:
            holder = lease.seen
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(holder["since"]))
            raise BadInput(
                f"another night of run {run} is at work since {since} (process {holder['pid']} on {holder['host']}); "
                "wait for its end, or stop it"
            )
        if not logged:
            log.info("another driver holds this run; listening for %.0f s whether it lives", lease.seconds)
            logged = True
        sleep(min(1.0, lease.seconds / 8))
    try:
        yield
    finally:
        lease.release()


def refuse_taken_over(lease: Lease | None) -> None:
    """Raises NotServed where a lease was held and another driver has taken it over."""
    if lease and not lease.held():
        raise NotServed(
            "another driver has taken over this run while this one was silent; what this one made is kept and that "
            "one goes on with it"
        )
