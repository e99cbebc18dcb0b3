"""Ray tasks over shards or chunks: results in order, a bounded number at a time, and progress."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import ray
import torch

from recsae.observability import progress

SECONDS = 5.0
"""How long one wait takes at most, so that a signal is handled."""
LEAST_IN_FLIGHT = 4
"""Tasks whose results are awaited at a time: so many, or two a core of the cluster. A bound on memory."""

Held = TypeVar("Held")
Key = TypeVar("Key")
Found = TypeVar("Found")


def over(
    function: Callable[[Held, Key], Found],
    held: Held,
    keys: Iterable[Key],
    phase: str,
    unit: str = "shards",
    device: str = "cpu",
) -> Iterator[Found]:
    """`function(held, key)` of every key, in order; `held` goes to the object store once.

    A task runs on one core, in one thread: the number of threads decides the last digits of a sum.
    """
    stored = ray.put(held)
    yield from in_order(lambda key: submit(function, stored, key, device), list(keys), phase, unit)


def total(
    function: Callable[[Held, Key], Any],
    held: Held,
    keys: Iterable[Key],
    phase: str,
    unit: str = "shards",
    device: str = "cpu",
) -> Any:
    """The sum of `function(held, key)` over the keys, added in order, so that its last digits are always the same."""
    found = over(function, held, keys, phase, unit, device)
    return functools.reduce(lambda so_far, part: so_far.plus(part), found)


def submit(function: Callable[[Any, Any], Any], held: Any, key: Any, device: str = "cpu") -> Any:
    """A reference to what `function(held, key)` will return; on "cpu" one thread computes it."""
    return _call.options(num_gpus=1 if device == "cuda" else 0).remote(function, held, key, device)


@ray.remote
def _call(function: Callable[[Any, Any], Any], held: Any, key: Any, device: str) -> Any:
    if device == "cpu":
        torch.set_num_threads(1)
    return function(held, key)


def in_order(task: Callable[[Any], Any], keys: Sequence[Any], phase: str, unit: str = "shards") -> Iterator[Any]:
    """What the tasks return, in the order of `keys`, whichever finishes first."""
    most = max(LEAST_IN_FLIGHT, 2 * _cores())
    waiting: deque[Any] = deque()
    progress.phase(phase, len(keys), unit)
    for done in range(len(keys)):
        waiting.extend(map(task, keys[done + len(waiting) : done + most]))
        while not ray.wait([waiting[0]], timeout=SECONDS)[0]:
            pass
        yield ray.get(waiting.popleft())
        progress.reach(done + 1)


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))
