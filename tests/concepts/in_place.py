"""A stand-in for Ray in passes over shards: tasks run in place and return read-only arrays."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from recsae.distributed import tasks
from recsae.sae import fidelity
from recsae.statistics import auc
from tests.sae.fake_ray import FakeRay

REMOTE: dict[ModuleType, tuple[str, ...]] = {
    auc: ("_split_shards", "_rank"),
    fidelity: (),
    tasks: ("_call",),
}


class InPlace:
    """A remote function; with `num_returns`, it must return a tuple of that length."""

    def __init__(self, function: Callable[..., Any], returns: int | None = None) -> None:
        self._function, self._returns = function, returns

    def options(self, num_returns: int | None = None, num_gpus: int = 0) -> InPlace:
        assert num_gpus == 0
        return InPlace(self._function, num_returns)

    def remote(self, *arguments: Any) -> Any:
        found = self._function(*arguments)
        if self._returns is None:
            return read_only(found)
        assert isinstance(found, tuple) and len(found) == self._returns > 1
        return [read_only(one) for one in found]


def read_only(held: Any) -> Any:
    """A copy with read-only arrays, as from an object store."""
    if isinstance(held, np.ndarray):
        held = held.copy()
        held.flags.writeable = False
    elif isinstance(held, tuple):
        parts = [read_only(one) for one in held]
        held = type(held)(*parts) if hasattr(held, "_fields") else tuple(parts)
    elif isinstance(held, dict):
        held = {key: read_only(one) for key, one in held.items()}
    return held


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    for module, names in REMOTE.items():
        monkeypatch.setattr(module, "ray", fake)
        for name in names:
            monkeypatch.setattr(module, name, InPlace(getattr(module, name)._function))
