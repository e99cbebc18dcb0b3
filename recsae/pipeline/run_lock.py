"""One night of a run at a time: the lease of the run, held from the first stage to the last put.

Correctness does not depend on it, since a stage's first manifest wins and `current.json` is one put; what it spares is
two nights that make each other's work. It knows leases, and nothing of stages.
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
def alone(lease: Lease, run: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the lease; raises BadInput where another driver lives that holds it.

    One that died is told from one that lives by its heartbeat, for which this waits as long as the lease says.
    """
    told = False
    while not lease.try_acquire():
        if lease.heard and lease.seen:
            holder = lease.seen
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(holder["since"]))
            raise BadInput(
                f"another night of run {run} is at work since {since} (process {holder['pid']} on {holder['host']}); "
                "wait for its end, or stop it"
            )
        if not told:
            log.info("another driver holds this run; listening for %.0f s whether it lives", lease.seconds)
            told = True
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
