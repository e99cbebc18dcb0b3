"""What this process is at work on, for its log lines, and told to Prometheus as it begins, fails and ends.

A process works on one stage at a time. What it is at stands in one place and not in a context variable: lines also come
from threads, as those in which Ray hands on what its workers print. It knows runs, stages and attempts by name, and
neither what a stage does nor how a line is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from recsae.observability import prometheus
from recsae.store.run_store import Attempt, Committed


@dataclass(frozen=True)
class Work:
    """Names; None: not at any."""

    run: str | None = None
    stage: str | None = None
    attempt: str | None = None


_work = Work()


def now() -> Work:
    """What the process is at."""
    return _work


@contextlib.contextmanager
def at_work(run: str, stage: str | None = None) -> Iterator[None]:
    """Lines of this block are of that run and stage; an attempt begun in it that fails is counted."""
    global _work
    before, _work = _work, Work(run, stage)
    try:
        yield
    except Exception:
        if _work.attempt:
            prometheus.failed(run, stage or "")
        raise
    finally:
        _work = before


def began(attempt: Attempt) -> None:
    """An attempt of the stage at work: later lines name it, and it is counted; the one before it must have failed."""
    global _work
    if _work.attempt:
        prometheus.failed(_work.run or "", _work.stage or "")
    _work = replace(_work, attempt=attempt.data.path.rpartition("/")[2])
    prometheus.began(_work.run or "", _work.stage or "")


def committed(done: Committed) -> None:
    """The stage at work has been committed: its figures go to Prometheus."""
    prometheus.committed(_work.run or "", done)


def answered(questions: int, rate: float) -> None:
    """The language model has answered so many more for the stage at work, and answers `rate` a second."""
    prometheus.answered(_work.run or "", _work.stage or "", questions, rate)
