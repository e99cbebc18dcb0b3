"""Results of tasks: their order, how many are awaited, and the progress that they report."""

from __future__ import annotations

import pytest

from recsae.distributed import tasks
from recsae.observability.progress import state
from tests.sae.fake_ray import FakeRay, without_ray


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(tasks, "ray", fake)
    return fake


def test_results_come_in_order_and_few_are_awaited(fake: FakeRay) -> None:
    assert list(tasks.in_order(fake.submit, list(range(50)), "shard")) == list(range(50))
    assert fake.submitted == list(range(50)) and fake.most == 6  # two a core


def test_a_long_measurement_reports_how_far_it_is(fake: FakeRay) -> None:
    reported = []
    for _ in tasks.in_order(fake.submit, list(range(20)), "fidelity", "chunks"):
        assert state.phase
        reported.append((state.phase.name, state.phase.done, state.phase.total, state.phase.unit))
    assert reported == [("fidelity", done, 20, "chunks") for done in range(20)]
    assert state.phase and state.phase.done == 20


def test_a_function_over_keys_gives_what_it_gives_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, put = without_ray(monkeypatch), []
    monkeypatch.setattr(fake, "put", lambda held: put.append(held) or held)
    assert list(tasks.over(lambda held, key: held * key, 3, range(20), "products")) == [3 * key for key in range(20)]
    assert put == [3] and fake.most <= 6  # handed out once; two a core of the three that the fake has


class Text(str):
    """Adds up to what shows the order."""

    def plus(self, other: str) -> Text:
        return Text(f"({self}+{other})")


def test_a_total_is_added_in_the_order_of_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    assert tasks.total(lambda held, key: Text(f"{held}{key}"), "k", range(4), "sums") == "(((k0+k1)+k2)+k3)"
