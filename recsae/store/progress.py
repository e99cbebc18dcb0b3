"""The progress of an unfinished stage, for its next attempt, and the lease that says who may write it.

Finished rows are kept in small Parquet files, each put in one step; Ray Train keeps its checkpoints in the same folder.
The lease saves work; correctness does not depend on it.
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
    """An exclusive right to work on something: the newest of numbered files, rewritten by a heartbeat.

    A contender may take over once it has seen the same heartbeat for the holder's `seconds`, by its own `elapsed`
    clock. Clocks of two machines are never compared, so a clock that jumps neither costs a live holder the lease nor
    keeps a dead one's. Taking over creates the file of the next number, which only one contender can do.
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
        """The newest heartbeat of another holder."""
        self.heard = 0
        """Heartbeats of another holder that arrived while this one waited."""
        self._seen_at = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()  # or a concurrent heartbeat could undo the release

    def try_acquire(self) -> bool:
        """Take the lease if it is free, or if its holder sent no heartbeat for long enough while this one waited."""
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
            with contextlib.suppress(Exception):  # one failed write must not cost the lease
                self.renew()

    def _newest(self) -> int | None:
        names = self.folder.list("lease")
        return max((int(name.removesuffix(".json").rpartition("-")[2]) for name in names), default=None)

    def _content(self, *, released: bool = False) -> bytes:
        """One heartbeat. `since` and `beat` are for people; the count makes every heartbeat differ."""
        self._beats += 1
        beat = {
            "holder": self.holder,
            "host": platform.node(),
            "pid": os.getpid(),
            "since": self._since,
            "beat": self.clock(),
            "beats": self._beats,
            "seconds": self.seconds,
            "released": released,
        }
        return as_json(beat)


def _lease_name(number: int) -> str:
    return f"lease/lease-{number:06d}.json"


class Progress:
    """The `_progress` folder of one fingerprint, for the stage to write."""

    def __init__(self, folder: Folder, lease: Lease) -> None:
        self.folder = folder
        self.lease = lease

    def rows(self, name: str, schema: pa.Schema) -> pa.Table:
        """All rows finished under `name` so far, in the order in which they were appended."""
        tables = [self.folder.read_table(file) for file in self.folder.list(name)]
        return conform(pa.concat_tables(tables), schema) if tables else schema.empty_table()

    def append(self, name: str, rows: pa.Table) -> None:
        """Keep finished rows; does nothing without the lease."""
        if self.lease.held():
            sink = pa.BufferOutputStream()
            pq.write_table(rows, sink, compression="zstd")
            number = len(self.folder.list(name))
            self.folder.put(f"{name}/{number:08d}-{uuid.uuid4().hex[:8]}.parquet", sink.getvalue().to_pybytes())
