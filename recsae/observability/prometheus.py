"""Exports a run's metrics to Prometheus through Ray: `recsae_…` with the tags run and stage.

Ray's agent on the driver's node exports them as `ray_recsae_…`. Without Ray nothing is exported, and a metric
that cannot be set never fails a stage.
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
DESCRIPTIONS = {
    "stage_seconds": "Seconds that the stage took",
    "stage_rows": "Rows that the stage wrote",
    "stage_bytes": "Bytes that the stage wrote",
    "stage_attempts": "Attempts of the stage that started in this process",
    "stage_failures": "Attempts of the stage that ended in an error",
    "questions": "Questions that the language model has answered for the stage",
    "questions_per_second": "Questions that the language model answers per second; 0 while there are none",
}

Args = ParamSpec("Args")


def _if_ray_is_up(export: Callable[Args, None]) -> Callable[Args, None]:
    """Call `export` only if Ray is up; metrics must never fail the run, so errors become one warning."""

    @functools.wraps(export)
    def guarded(*args: Args.args, **kwargs: Args.kwargs) -> None:
        ray = sys.modules.get("ray")  # not imported means not started
        if ray is None or not ray.is_initialized():
            return
        try:
            export(*args, **kwargs)
        except Exception as error:
            log.warning("Metrics are not exported to Prometheus: %s", error)

    return guarded


@_if_ray_is_up
def attempt_started(run: str, stage: str) -> None:
    _counter("stage_attempts").inc(1, tags={"run": run, "stage": stage})


@_if_ray_is_up
def attempt_failed(run: str, stage: str) -> None:
    _counter("stage_failures").inc(1, tags={"run": run, "stage": stage})


@_if_ray_is_up
def stage_committed(run: str, done: Committed) -> None:
    """Export seconds, rows, bytes and headline metrics of a committed stage."""
    stage = str(done.manifest["stage"])
    values = {
        "stage_seconds": number(done.manifest.get("seconds")),
        "stage_rows": rows(done),
        "stage_bytes": size(done),
        **headline(stage, done.metrics),
    }
    for name, value in values.items():
        if value is not None:
            _gauge(name).set(value, tags={"run": run, "stage": stage})


@_if_ray_is_up
def questions_answered(run: str, stage: str, questions: int, rate: float) -> None:
    if questions:
        _counter("questions").inc(questions, tags={"run": run, "stage": stage})
    _gauge("questions_per_second").set(rate, tags={"run": run, "stage": stage})


@functools.cache
def _gauge(name: str) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(_metric_name(name), DESCRIPTIONS.get(name, f"The metric {name} of the stage"), TAGS)


@functools.cache
def _counter(name: str) -> Any:
    from ray.util.metrics import Counter

    return Counter(_metric_name(name), DESCRIPTIONS[name], TAGS)


def _metric_name(name: str) -> str:
    return "recsae_" + re.sub(r"\W", "_", name, flags=re.ASCII)
