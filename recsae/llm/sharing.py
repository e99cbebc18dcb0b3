"""Keeps engines alive after their pool, for the next pool with the same model and settings.

Imports no torch: a night that skips every stage also enters `shared_engines`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

_idle: dict[Hashable, list[Any]] | None = None
"""Within `shared_engines`: idle engines by kind."""


@contextlib.contextmanager
def shared_engines() -> Iterator[None]:
    """Keep engines alive between pools: starting one takes longer than answering for a dozen latents.

    They stop with the block, or as soon as a pool needs engines of another kind.
    """
    global _idle
    outer, _idle = _idle, {}
    try:
        yield
    finally:
        kill([engine for engines in _idle.values() for engine in engines])
        _idle = outer


def release(kind: Hashable, engines: Sequence[Any]) -> None:
    """Keep a closed pool's engines for the next pool; outside `shared_engines` stop them."""
    if _idle is None:
        kill(engines)
    else:
        _idle.setdefault(kind, []).extend(engines)


def idle_engines(kind: Hashable) -> list[Any]:
    """The idle engines of this kind, for the caller to pop; engines of other kinds are stopped to free resources."""
    if _idle is None:
        return []
    for other in [other for other in _idle if other != kind]:
        kill(_idle.pop(other))
    return _idle.setdefault(kind, [])


def kill(engines: Sequence[Any]) -> None:
    """Kill the engines; nothing to do if Ray has shut down."""
    if not engines:
        return
    import ray

    if ray.is_initialized():
        for engine in engines:
            ray.kill(engine)
