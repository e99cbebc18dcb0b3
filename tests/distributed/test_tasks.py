"""Results of tasks: their order, how many are awaited, and what is said meanwhile."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from recsae.distributed import tasks
from tests.sae.fake_ray import FakeRay, without_ray


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(tasks, "ray", fake)
    return fake


def test_results_come_in_order_and_few_are_awaited(fake: FakeRay) -> None:
    assert list(tasks.in_order(fake.submit, list(range(50)), "shard")) == list(range(50))
    assert fake.submitted == list(range(50)) and fake.most == 6  # two a core


def test_a_long_measurement_says_how_far_it_is(
    fake: FakeRay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    with caplog.at_level(logging.INFO):
        list(tasks.in_order(fake.submit, list(range(20)), "fidelity, chunk"))
    assert 5 <= len(caplog.messages) < 30
    assert caplog.messages[0].startswith("fidelity, chunk ") and caplog.messages[0].endswith("/20")
    done = [int(message.split()[-1].split("/")[0]) for message in caplog.messages]
    assert done == sorted(done)


def test_a_function_over_keys_gives_what_it_gives_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, put = without_ray(monkeypatch), []
    monkeypatch.setattr(fake, "put", lambda held: put.append(held) or held)
    assert list(tasks.over(lambda held, key: held * key, 3, range(20), "products")) == [3 * key for key in range(20)]
    assert put == [3] and fake.most <= 6  # handed out once; two a core of the three that the fake has
