"""The run, stage and attempt that this process works on, for log lines and Prometheus.

A process works on one stage at a time. The state is a variable of the module rather than a context variable, because
lines also come from threads, such as those in which Ray forwards its workers' output.
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
