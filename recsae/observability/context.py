"""The run, stage and attempt that this process works on, for log lines and Prometheus.

A process works on one stage at a time. The state is a module variable rather than a context variable because log lines
also come from other threads, such as those in which Ray forwards its workers' output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from recsae.observability import prometheus
from recsae.store.run_store import Attempt, Committed


@dataclass(frozen=True)
class Work:
    """Names of the current run, stage and attempt; None if there is none."""

    run: str | None = None
    stage: str | None = None
    attempt: str | None = None


_work = Work()


def current() -> Work:
    """The current run, stage and attempt."""
    return _work


@contextlib.contextmanager
def at_work(run: str, stage: str | None = None) -> Iterator[None]:
    """Attribute log lines of this block to the run and stage; an attempt that fails in it is counted."""
    global _work
    before, _work = _work, Work(run, stage)
    try:
        yield
    except Exception:
        if _work.attempt:
            prometheus.attempt_failed(run, stage or "")
        raise
    finally:
        _work = before


def attempt_started(attempt: Attempt) -> None:
    """Count a new attempt of the current stage and name it in later log lines; a previous attempt counts as failed."""
    global _work
    if _work.attempt:
        prometheus.attempt_failed(_work.run or "", _work.stage or "")
    _work = replace(_work, attempt=attempt.data.path.rpartition("/")[2])
    prometheus.attempt_started(_work.run or "", _work.stage or "")


def stage_committed(done: Committed) -> None:
    """Export the metrics of the committed stage to Prometheus."""
    prometheus.stage_committed(_work.run or "", done)


def questions_answered(questions: int, rate: float) -> None:
    """Export to Prometheus that the LLM has answered `questions` more for this stage, at `rate` per second."""
    prometheus.questions_answered(_work.run or "", _work.stage or "", questions, rate)
