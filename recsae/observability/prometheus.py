"""Metrics of a run for Prometheus: `recsae_…` with the tags run and stage, through Ray's own metrics.

Ray's agent on the driver's node exports them as `ray_recsae_…`. Without Ray nothing happens, and a metric that cannot
be set never ends a stage.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

from recsae.observability.summary import headline, rows, size
from recsae.store.run_store import Committed
from recsae.text.formatting import number

log = logging.getLogger(__name__)

TAGS = ("run", "stage")
TOLD = {
    "stage_seconds": "Seconds that the stage took",
    "stage_rows": "Rows that the stage wrote",
    "stage_bytes": "Bytes that the stage wrote",
    "stage_attempts": "Attempts of the stage that began in this process",
    "stage_failures": "Attempts of the stage that ended in an error",
    "questions": "Questions that the language model has answered for the stage",
    "questions_per_second": "Questions that the language model answers a second; 0 when it is asked nothing",
}

Given = ParamSpec("Given")


def _where_ray_is_up(tell: Callable[Given, None]) -> Callable[Given, None]:
    """Calls `tell` if Ray is up; metrics must never fail the run, so an error is one line of the log."""

    @functools.wraps(tell)
    def guarded(*given: Given.args, **named: Given.kwargs) -> None:
        ray = sys.modules.get("ray")  # who has not imported it has not started it
        if ray is None or not ray.is_initialized():
            return
        try:
            tell(*given, **named)
        except Exception as error:
            log.warning("Prometheus is not told: %s", error)

    return guarded


@_where_ray_is_up
def began(run: str, stage: str) -> None:
    _counter("stage_attempts").inc(1, tags={"run": run, "stage": stage})


@_where_ray_is_up
def failed(run: str, stage: str) -> None:
    _counter("stage_failures").inc(1, tags={"run": run, "stage": stage})


@_where_ray_is_up
def committed(run: str, done: Committed) -> None:
    """Seconds, rows, bytes and the telling figures of a stage."""
    stage = str(done.manifest["stage"])
    figures = {
        "stage_seconds": number(done.manifest.get("seconds")),
        "stage_rows": rows(done),
        "stage_bytes": size(done),
        **headline(stage, done.metrics),
    }
    for name, value in figures.items():
        if value is not None:
            _gauge(name).set(value, tags={"run": run, "stage": stage})


@_where_ray_is_up
def answered(run: str, stage: str, questions: int, rate: float) -> None:
    if questions:
        _counter("questions").inc(questions, tags={"run": run, "stage": stage})
    _gauge("questions_per_second").set(rate, tags={"run": run, "stage": stage})


@functools.cache
def _gauge(name: str) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(_named(name), TOLD.get(name, f"The figure {name} of the stage"), TAGS)


@functools.cache
def _counter(name: str) -> Any:
    from ray.util.metrics import Counter

    return Counter(_named(name), TOLD[name], TAGS)


def _named(name: str) -> str:
    return "recsae_" + re.sub(r"\W", "_", name, flags=re.ASCII)
