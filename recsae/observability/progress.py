"""The progress of the night, its stage and the stage's phase. Stages report it here; a display reads it.

A process works on one stage at a time, so the state is the module's. A Train worker relays its phase to the
driver as a line of its output (`relay`), which the driver's streams hand to `take_relayed`.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

MIN_SECONDS, MIN_STEPS = 5.0, 3
"""Seconds and steps before a phase has a rate; earlier estimates would be guesses."""
RELAY_SECONDS = 0.5
RELAY_PREFIX = "recsae-progress "
"""Prefix of a relayed line; JSON follows."""


@dataclass
class Phase:
    """A phase of a stage and how much of it is done."""

    name: str
    total: float | None = None
    unit: str = ""
    at_most: bool = False
    """Whether it may end before `total`, such as training with early stopping."""
    done: float = 0.0
    done_at_start: float = 0.0
    """Units done when the rate's clock started: by an earlier attempt, or before an engine was ready."""
    note: str = ""
    started_at: float = 0.0
    """Monotonic clock, seconds."""
    steps: int = 0
    scale: float = 1.0
    """Units per step."""

    def rate(self, now: float) -> float | None:
        """Units per second; None until there is enough data."""
        seconds = now - self.started_at
        if self.steps < MIN_STEPS or seconds < MIN_SECONDS or self.done <= self.done_at_start:
            return None
        return (self.done - self.done_at_start) / seconds

    def seconds_left(self, now: float) -> float | None:
        rate = self.rate(now)
        return None if rate is None or self.total is None else max(self.total - self.done, 0.0) / rate


@dataclass
class StageProgress:
    """A stage of the night; `expected` is its duration in seconds in the served night, None if not comparable."""

    expected: float | None = None
    started_at: float | None = None
    ended: bool = False

    def seconds_left(self, now: float) -> float | None:
        """Seconds left; None if unknown, or if the stage takes longer than expected."""
        if self.ended:
            return 0.0
        if self.expected is None:
            return None
        left = self.expected - (now - self.started_at if self.started_at is not None else 0.0)
        return left if left > 0 else None


@dataclass
class NightProgress:
    """The stages that this driver runs, in order."""

    run: str
    stages: dict[str, StageProgress]
    started_at: float
    estimate: Callable[[str], float | None]

    def seconds_left(self, now: float) -> float | None:
        """Seconds left; None unless known for every stage."""
        left = [stage.seconds_left(now) for stage in self.stages.values()]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) if len(known) == len(left) else None


@dataclass
class State:
    """The current night, stage and phase, for a display."""

    night: NightProgress | None = None
    stage: str | None = None
    phase: Phase | None = None


state = State()
_display: Callable[[], AbstractContextManager[None]] | None = None
_shown = contextlib.ExitStack()
_has_display = _accepts_relayed = _is_relaying = False
_last_relay = 0.0


@contextlib.contextmanager
def displayed(display: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Enter `display()` when the first stage or phase starts in this block; leave it with the night or the block."""
    global _display, _has_display
    _display, _has_display = display, True
    try:
        yield
    finally:
        _display, _has_display = None, False
        _shown.close()


def _show() -> None:
    global _display
    if _display is None:
        return
    begin, _display = _display, None
    if state.night:
        for name, one in state.night.stages.items():
            one.expected = None if one.ended else state.night.estimate(name)
    _shown.enter_context(begin())


@contextlib.contextmanager
def at_night(run: str, stages: Sequence[str], estimate: Callable[[str], float | None]) -> Iterator[None]:
    """Track the stages that run in this block, in order; `estimate` returns a stage's expected seconds, or None."""
    state.night = NightProgress(run, {name: StageProgress() for name in stages}, time.monotonic(), estimate)
    try:
        yield
    finally:
        state.night = None
        _shown.close()


@contextlib.contextmanager
def at_stage(name: str) -> Iterator[None]:
    """Track the stage that runs in this block; its phase ends with it."""
    state.stage, state.phase = name, None
    if state.night and name in state.night.stages:
        state.night.stages[name].started_at = time.monotonic()
    _show()
    try:
        yield
        stage_done(name)
    finally:
        state.stage = state.phase = None


def stage_done(name: str) -> None:
    """Mark the stage as done, by this run or an earlier one."""
    if state.night and name in state.night.stages:
        state.night.stages[name].ended = True


def phase(
    name: str,
    total: float | None = None,
    unit: str = "",
    *,
    done: float = 0.0,
    steps: float | None = None,
    at_most: bool = False,
) -> None:
    """Start a phase with `done` units done already. `steps`: steps left, if a step is not one unit."""
    scale = ((total or 0.0) - done) / steps if steps else 1.0
    state.phase = Phase(name, total, unit, at_most, done, done, started_at=time.monotonic(), scale=scale)
    _show()
    _relay(always=True)


def advance(steps: float = 1) -> None:
    """Advance the phase by `steps`."""
    if state.phase:
        reach(state.phase.done + steps * state.phase.scale)


def reach(done: float, note: str = "") -> None:
    """Set the units done; `note` is extra text for the display, such as the loss."""
    if state.phase:
        state.phase.done, state.phase.note = done, note
        state.phase.steps += 1
        _relay()


def wait_for(note: str) -> None:
    """Show what the phase waits for; "" ends the wait and restarts the rate's clock."""
    if now := state.phase:
        now.note, now.started_at, now.done_at_start, now.steps = note, time.monotonic(), now.done, 0


@contextlib.contextmanager
def from_workers() -> Iterator[bool]:
    """Accept relayed phases in this block; yields whether there is a display, so that workers should relay."""
    global _accepts_relayed
    _accepts_relayed = True
    try:
        yield _has_display
    finally:
        _accepts_relayed = False


def relay() -> None:
    """Relay this worker process's phases to the driver from now on."""
    global _is_relaying
    _is_relaying = True


def relay_due() -> bool:
    """Whether enough time has passed for this worker to relay its phase again."""
    return _is_relaying and time.monotonic() - _last_relay >= RELAY_SECONDS


def _relay(*, always: bool = False) -> None:
    global _last_relay
    if _is_relaying and state.phase and (always or relay_due()):
        _last_relay = now = time.monotonic()
        # Monotonic clocks of two machines have different zeros, so relay the elapsed time.
        print(RELAY_PREFIX + json.dumps(asdict(state.phase) | {"started_at": now - state.phase.started_at}), flush=True)


def take_relayed(line: str) -> bool:
    """Whether the line is a relayed phase; within `from_workers` it replaces this process's phase."""
    if not line.startswith(RELAY_PREFIX):
        return False
    if _accepts_relayed:
        with contextlib.suppress(ValueError, TypeError):  # a truncated line
            relayed = json.loads(line.removeprefix(RELAY_PREFIX))
            state.phase = Phase(**relayed | {"started_at": time.monotonic() - relayed["started_at"]})
    return True
