"""What an unfinished stage leaves for its next attempt, and the lease that says who may write it.

Finished rows are kept in small Parquet files, each put whole; Ray Train keeps its checkpoints in the same folder.
The lease saves work; correctness does not depend on it. It knows rows by their schema and not what they mean.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsae.schemas.base import conform
from recsae.store.filesystem import Folder, as_json


class Lease:
    """The right to work on something: the newest of numbered files, which a heartbeat rewrites.

    Silence is what a contender has seen itself: a lease may be taken over by one that has looked at the same beat for
    the holder's `seconds`, by its own `elapsed` clock. Two machines' clocks are never compared, so a clock that jumps
    neither costs a living holder the lease nor keeps a dead one's. Taking over creates the next number, which only one
    contender can do.
    """

    def __init__(
        self,
        folder: Folder,
        seconds: float,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.seconds = seconds
        self.clock = clock
        self.elapsed = elapsed
        self.holder = uuid.uuid4().hex
        self._number: int | None = None
        self._beats = 0
        self._since = 0.0
        self.seen: dict[str, Any] | None = None
        """What another holder's newest beat said."""
        self.heard = 0
        """Beats of another holder that came while this one looked on."""
        self._seen_at = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()  # or a beat under way could undo the release

    def try_acquire(self) -> bool:
        """Take the lease if it is free, or if its holder has been silent for long enough while this one looked on."""
        number = self._newest()
        if number is not None and self._alive(number):
            return False
        mine = 0 if number is None else number + 1
        self._since = self.clock()
        if not self.folder.put_if_absent(_lease_name(mine), self._content()):
            return False
        self._number = mine
        threading.Thread(target=self._heartbeat, daemon=True).start()
        return True

    def _alive(self, number: int) -> bool:
        current = self.folder.read_json(_lease_name(number))
        if not current or current["released"]:
            return False
        if self.seen != current:
            self.heard += self.seen is not None
            self.seen, self._seen_at = current, self.elapsed()
        silent: bool = self.elapsed() - self._seen_at > current["seconds"]
        return not silent

    def held(self) -> bool:
        return self._number is not None and self._number == self._newest()

    def renew(self) -> None:
        with self._lock:
            if self._number is not None:
                self.folder.put(_lease_name(self._number), self._content())

    def release(self) -> None:
        self._stop.set()
        with self._lock:
            if self._number is not None:
                self.folder.put(_lease_name(self._number), self._content(released=True))
                self._number = None

    def _heartbeat(self) -> None:
        while not self._stop.wait(self.seconds / 4):
            with contextlib.suppress(Exception):  # a store that fails once must not cost the lease
                self.renew()

    def _newest(self) -> int | None:
        names = self.folder.list("lease")
        return max((int(name.removesuffix(".json").rpartition("-")[2]) for name in names), default=None)

    def _content(self, *, released: bool = False) -> bytes:
        """`since` and `beat` are for people; the number of beats makes each one another."""
        self._beats += 1
        told = {
            "holder": self.holder,
            "host": platform.node(),
            "pid": os.getpid(),
            "since": self._since,
            "beat": self.clock(),
            "beats": self._beats,
            "seconds": self.seconds,
            "released": released,
        }
        return as_json(told)


def _lease_name(number: int) -> str:
    return f"lease/lease-{number:06d}.json"


class Progress:
    """The `_progress` folder of one fingerprint, in the hands of the stage."""

    def __init__(self, folder: Folder, lease: Lease) -> None:
        self.folder = folder
        self.lease = lease

    def rows(self, name: str, schema: pa.Schema) -> pa.Table:
        """All rows finished under `name` so far, in the order in which they were finished."""
        tables = [self.folder.read_table(file) for file in self.folder.list(name)]
        return conform(pa.concat_tables(tables), schema) if tables else schema.empty_table()

    def append(self, name: str, rows: pa.Table) -> None:
        """Keep finished rows; without the lease this does nothing."""
        if self.lease.held():
            sink = pa.BufferOutputStream()
            pq.write_table(rows, sink, compression="zstd")
            number = len(self.folder.list(name))
            self.folder.put(f"{name}/{number:08d}-{uuid.uuid4().hex[:8]}.parquet", sink.getvalue().to_pybytes())
