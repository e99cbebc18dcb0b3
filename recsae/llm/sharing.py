"""Engines that outlast their pool, for the next pool of the same model and settings.

Imports no torch: a night in which every stage is skipped enters and leaves `shared_engines` too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

_shelf: dict[Hashable, list[Any]] | None = None
"""Within `shared_engines`: engines whose pool has ended, by what makes two of them the same."""


@contextlib.contextmanager
def shared_engines() -> Iterator[None]:
    """Engines outlast their pool: starting one takes longer than answering for some dozen latents.

    They end with the block, or as soon as a pool needs others.
    """
    global _shelf
    outer, _shelf = _shelf, {}
    try:
        yield
    finally:
        kill([engine for engines in _shelf.values() for engine in engines])
        _shelf = outer


def give_back(kind: Hashable, engines: Sequence[Any]) -> None:
    """Keep the engines of a pool that has ended; outside `shared_engines` they end with it."""
    if _shelf is None:
        kill(engines)
    else:
        _shelf.setdefault(kind, []).extend(engines)


def waiting(kind: Hashable) -> list[Any]:
    """The kept engines of this kind, to be taken out of the list; those of another kind end, to make room."""
    if _shelf is None:
        return []
    for other in [other for other in _shelf if other != kind]:
        kill(_shelf.pop(other))
    return _shelf.setdefault(kind, [])


def kill(engines: Sequence[Any]) -> None:
    """End the engines, unless Ray has ended and they with it."""
    if not engines:
        return
    import ray

    if ray.is_initialized():
        for engine in engines:
            ray.kill(engine)
