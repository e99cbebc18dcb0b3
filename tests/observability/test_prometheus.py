"""What is exported to Prometheus, with a fake Ray; a real one is scraped in tests/integration/test_observability.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recsae.llm.pool import Completion, Meter
from recsae.observability import context, prometheus
from recsae.store.run_store import Attempt, RunStore

Seen = dict[tuple[str, str, str], float]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Exported values by name, run and stage, from a fake Ray that is up."""
    values: Seen = {}

    class Metric:
        def __init__(self, name: str, description: str, tags: tuple[str, ...]) -> None:
            assert name.startswith("recsae_") and name.isidentifier() and description and tags == ("run", "stage")
            self.name = name

        def set(self, value: float, tags: dict[str, str]) -> None:
            values[self.name, tags["run"], tags["stage"]] = value

        def inc(self, value: float, tags: dict[str, str]) -> None:
            assert value > 0, "Ray refuses it"
            key = self.name, tags["run"], tags["stage"]
            values[key] = values.get(key, 0) + value

    metrics = SimpleNamespace(Gauge=Metric, Counter=Metric)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(sys.modules, "ray.util.metrics", metrics)
    _forget()
    yield values
    _forget()


def _forget() -> None:
    prometheus._gauge.cache_clear()
    prometheus._counter.cache_clear()


def attempt_at(root: Path) -> tuple[RunStore, Attempt]:
    store = RunStore(str(root), "shop")
    attempt = store.attempt("sae", "f1", store.lease("sae", "f1", 20))
    attempt.data.put("weights", b"12345")
    return store, attempt


FACTS: dict[str, Any] = {"metrics": {"fvu": 0.05, "dead_share": 0.0, "l0": None}, "seconds": 2.5}


def test_a_committed_stage_exports_its_metrics(seen: Seen, tmp_path: Path) -> None:
    store, attempt = attempt_at(tmp_path)
    with context.at_work("shop", "sae"):
        context.attempt_started(attempt)
        context.stage_committed(store.commit("sae", attempt, FACTS))
    assert seen == {
        ("recsae_stage_attempts", "shop", "sae"): 1,
        ("recsae_stage_seconds", "shop", "sae"): 2.5,
        ("recsae_stage_bytes", "shop", "sae"): 5,
        ("recsae_fvu", "shop", "sae"): 0.05,
        ("recsae_dead_share", "shop", "sae"): 0.0,
    }


def test_an_attempt_that_fails_is_counted_also_where_another_follows(seen: Seen, tmp_path: Path) -> None:
    _, attempt = attempt_at(tmp_path)

    def two_attempts() -> None:
        with context.at_work("shop"), context.at_work("shop", "sae"):
            context.attempt_started(attempt)
            context.attempt_started(attempt)
            raise OSError

    with pytest.raises(OSError):
        two_attempts()
    assert seen == {
        ("recsae_stage_attempts", "shop", "sae"): 2,
        ("recsae_stage_failures", "shop", "sae"): 2,
    }


def test_what_fails_before_an_attempt_begins_is_no_failed_attempt(seen: Seen) -> None:
    with pytest.raises(OSError), context.at_work("shop", "sae"):
        raise OSError
    assert seen == {}


def test_questions_are_counted_as_they_are_answered(seen: Seen) -> None:
    answers = [Completion("x", None, "ok", 5)] * 3
    meter = Meter("model")
    with context.at_work("shop", "labels"):
        meter.start()
        meter.add(answers)
        assert seen["recsae_questions_per_second", "shop", "labels"] > 0
        meter.add(answers)
        meter.finish()
    assert seen["recsae_questions", "shop", "labels"] == 6
    assert seen["recsae_questions_per_second", "shop", "labels"] == 0


def test_a_metric_that_cannot_be_exported_fails_nothing(
    seen: Seen, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, attempt = attempt_at(tmp_path)
    with context.at_work("shop", "sae"):
        context.stage_committed(store.commit("sae", attempt, {"metrics": None, "seconds": 1.0}))
    assert "Metrics are not exported to Prometheus" in caplog.text


@pytest.mark.parametrize("ray", [None, SimpleNamespace(is_initialized=lambda: False)])
def test_without_ray_nothing_happens(
    ray: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(prometheus, "_counter", lambda name: pytest.fail("Ray is not up"))
    _, attempt = attempt_at(tmp_path)
    with context.at_work("shop", "sae"):
        context.attempt_started(attempt)
    assert caplog.text == ""
