"""A function over keys: results in the order of the keys, what is held handed out once."""

from __future__ import annotations

import pytest

from recsae import tasks
from recsae.steering import spread
from tests.sae.fake_ray import FakeRay, Task


def test_results_are_those_of_the_plain_function_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    put: list[int] = []
    monkeypatch.setattr(fake, "put", lambda held: put.append(held) or held)
    monkeypatch.setattr(spread, "ray", fake)
    monkeypatch.setattr(tasks, "ray", fake)
    plain = spread._call._function
    monkeypatch.setattr(spread, "_call", Task(lambda *given: fake.submit(plain(*given))))
    assert list(spread.over(lambda held, key: held * key, 3, range(20), "products")) == [3 * key for key in range(20)]
    assert put == [3] and fake.most <= 6  # two a core of the three that the fake has
