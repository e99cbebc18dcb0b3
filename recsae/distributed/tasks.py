"""Ray tasks over shards or chunks whose results come in order, a bounded number at a time, and are told of.

It knows Ray and the order of what it is given, and nothing of what is measured.
"""

from __future__ import annotations

import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
import torch

log = logging.getLogger(__name__)

SECONDS = 5.0
"""Between two lines that say how far a measurement is."""
LEAST_IN_FLIGHT = 4
"""Tasks whose results are awaited at a time: so many, or two a core of the cluster. A bound on memory."""


def total(task: Callable[[Any], Any], over: Iterable[Any], what: str) -> Any:
    """The sum of what `task` promises of each; folded in order, so that it has the same last digits each time."""
    return functools.reduce(lambda so_far, part: so_far.plus(part), in_order(task, list(over), what))


Held = TypeVar("Held")
Key = TypeVar("Key")
Found = TypeVar("Found")


def over(
    function: Callable[[Held, Key], Found], held: Held, keys: Iterable[Key], what: str, device: str = "cpu"
) -> Iterator[Found]:
    """`function(held, key)` of every key, in order; `held` goes to the object store once."""
    kept, task = ray.put(held), _call.options(num_gpus=1 if device == "cuda" else 0)
    yield from in_order(lambda key: task.remote(function, kept, key, device), list(keys), what)


@ray.remote
def _call(function: Callable[[Any, Any], Any], held: Any, key: Any, device: str) -> Any:
    if device == "cpu":
        torch.set_num_threads(1)  # a task has one core, and the number decides the last digits
    return function(held, key)


def in_order(task: Callable[[Any], Any], over: list[Any], what: str) -> Iterator[Any]:
    """Results in the order of `over`, whoever finishes first; now and then a line says how many have come."""
    most = max(LEAST_IN_FLIGHT, 2 * _cores())
    waiting: deque[Any] = deque()
    spoken = time.monotonic()
    for done in range(len(over)):
        waiting.extend(map(task, over[done + len(waiting) : done + most]))
        arrived = False
        while not arrived:
            arrived = bool(ray.wait([waiting[0]], timeout=SECONDS)[0])
            if time.monotonic() - spoken >= SECONDS:
                spoken = time.monotonic()
                log.info("%s %d/%d", what, done + arrived, len(over))
        yield ray.get(waiting.popleft())


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))
