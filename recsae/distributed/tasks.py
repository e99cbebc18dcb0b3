"""Runs Ray tasks over shards or chunks: results in order, a bounded number in flight, progress reported."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import ray
import torch

from recsae.observability import progress

WAIT_SECONDS = 5.0
"""Maximum seconds per wait, so that signals are handled."""
MIN_IN_FLIGHT = 4
"""Minimum number of tasks in flight; otherwise two per core of the cluster. It bounds memory."""

Shared = TypeVar("Shared")
Key = TypeVar("Key")
Result = TypeVar("Result")


def over(
    function: Callable[[Shared, Key], Result],
    shared: Shared,
    keys: Iterable[Key],
    phase: str,
    unit: str = "shards",
    device: str = "cpu",
) -> Iterator[Result]:
    """Yield `function(shared, key)` for every key, in order; `shared` is put in the object store once.

    Each task uses one core and one thread, since the number of threads affects the last digits of sums.
    """
    stored = ray.put(shared)
    yield from in_order(lambda key: submit(function, stored, key, device), list(keys), phase, unit)


def total(
    function: Callable[[Shared, Key], Any],
    shared: Shared,
    keys: Iterable[Key],
    phase: str,
    unit: str = "shards",
    device: str = "cpu",
) -> Any:
    """The sum of `function(shared, key)` over the keys, added in order so that its last digits are reproducible."""
    found = over(function, shared, keys, phase, unit, device)
    return functools.reduce(lambda so_far, part: so_far.plus(part), found)


def submit(function: Callable[[Any, Any], Any], shared: Any, key: Any, device: str = "cpu") -> Any:
    """A reference to the result of `function(shared, key)`; on "cpu" it is computed in one thread."""
    return _call.options(num_gpus=1 if device == "cuda" else 0).remote(function, shared, key, device)


@ray.remote
def _call(function: Callable[[Any, Any], Any], shared: Any, key: Any, device: str) -> Any:
    if device == "cpu":
        torch.set_num_threads(1)
    return function(shared, key)


def in_order(task: Callable[[Any], Any], keys: Sequence[Any], phase: str, unit: str = "shards") -> Iterator[Any]:
    """Yield the tasks' results in the order of `keys`, whichever finishes first."""
    max_in_flight = max(MIN_IN_FLIGHT, 2 * _cores())
    waiting: deque[Any] = deque()
    progress.phase(phase, len(keys), unit)
    for done in range(len(keys)):
        waiting.extend(map(task, keys[done + len(waiting) : done + max_in_flight]))
        while not ray.wait([waiting[0]], timeout=WAIT_SECONDS)[0]:
            pass
        yield ray.get(waiting.popleft())
        progress.reach(done + 1)


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))
