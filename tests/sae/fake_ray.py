"""Ray for tests without Ray: tasks run on the spot, and every result is late once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from recsae.distributed import tasks


class Task:
    """A remote function that calls the local one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.remote = function

    def options(self, num_gpus: int) -> Task:
        assert num_gpus == 0
        return self


class FakeRay:
    """Tasks run when they are submitted; every result is late once."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []
        self.most = self.received = 0
        self.late: set[int] = set()

    def submit(self, one: Any) -> Any:
        self.submitted.append(one)
        self.most = max(self.most, len(self.submitted) - self.received)
        return one

    def wait(self, pending: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        (one,) = pending
        if id(one) in self.late:
            return pending, []
        self.late.add(id(one))
        return [], pending

    def get(self, one: Any) -> Any:
        self.received += 1
        return one

    def put(self, one: Any) -> Any:
        return one

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}


def without_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """`tasks.over` without Ray."""
    fake, plain = FakeRay(), tasks._call._function
    monkeypatch.setattr(tasks, "ray", fake)
    monkeypatch.setattr(tasks, "_call", Task(lambda *given: fake.submit(plain(*given))))
    return fake
