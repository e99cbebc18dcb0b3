"""A plain function over chunks or shards as Ray tasks, its results in order.

It knows Ray, and nothing of what the function does: that can be called, and tested, without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
import torch

from recsae import tasks

Held = TypeVar("Held")
Key = TypeVar("Key")
Found = TypeVar("Found")


def over(
    function: Callable[[Held, Key], Found], held: Held, keys: Iterable[Key], what: str, device: str = "cpu"
) -> Iterator[Found]:
    """`function(held, key)` of every key; `held` goes to the object store once."""
    kept, task = ray.put(held), _call.options(num_gpus=1 if device == "cuda" else 0)
    yield from tasks.in_order(lambda key: task.remote(function, kept, key, device), list(keys), what)


@ray.remote
def _call(function: Callable[[Any, Any], Any], held: Any, key: Any, device: str) -> Any:
    if device == "cpu":
        torch.set_num_threads(1)  # a task has one core, and the number decides the last digits
    return function(held, key)
