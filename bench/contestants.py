"""Scaffolding of the benchmarks: contestants in processes of their own, in turn, and their peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

SAMPLE_SECONDS = 0.5


def run_contestant(script: str, *options: object) -> Any:
    """The JSON in the last line that a Python script prints, run in its own process with one OpenMP thread."""
    command = [sys.executable, script, *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def alternate(rounds: int, names: Iterable[str], measure: Callable[[str], Any]) -> Iterator[dict[str, Any]]:
    """Yield the results of each round by contestant. Contestants run in turn, so that a busy machine slows all."""
    for _ in range(rounds):
        yield {name: measure(name) for name in names}


class PeakMemory:
    """The largest sum over samples, in bytes."""

    bytes = 0


@contextmanager
def peak_memory(*, driver: bool = True) -> Iterator[PeakMemory]:
    """Sample the memory of all child processes, and of this one if `driver`, until the block ends.

    Memory is the proportional set size, so that pages which processes share count once.
    """
    peak, ended, this = PeakMemory(), threading.Event(), psutil.Process()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            processes = [*([this] if driver else []), *this.children(recursive=True)]
            peak.bytes = max(peak.bytes, sum(map(_bytes_of, processes)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _bytes_of(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it ended
        return 0
