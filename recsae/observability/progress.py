"""Says how far the night, its stage and the stage's phase are. Stages report here; a display reads it.

A process works on one stage at a time, so all of it is the state of the module. A Train worker relays its phase to the
driver as a line of its output (`relay`), which the driver's streams hand to `take`.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

LEAST_SECONDS, LEAST_STEPS = 5.0, 3
"""A phase has a rate after so many seconds and steps; before that any estimate would be a guess."""
RELAY_SECONDS = 0.5
RELAYED = "recsae-progress "
"""How a relayed line begins; JSON follows."""


@dataclass
class Phase:
    """What the stage is doing, and how much of it is done."""

    words: str
    total: float | None = None
    unit: str = ""
    at_most: bool = False
    """Whether it may end before `total`, as training does whose patience ends."""
    done: float = 0.0
    start: float = 0.0
    """What was done when the rate's clock began: by an earlier attempt, or before an engine stood."""
    note: str = ""
    began: float = 0.0
    """By the monotonic clock."""
    steps: int = 0
    scale: float = 1.0
    """Units a step."""

    def rate(self, now: float) -> float | None:
        """Units a second; None until enough is known."""
        seconds = now - self.began
        if self.steps < LEAST_STEPS or seconds < LEAST_SECONDS or self.done <= self.start:
            return None
        return (self.done - self.start) / seconds

    def seconds_left(self, now: float) -> float | None:
        rate = self.rate(now)
        return None if rate is None or self.total is None else max(self.total - self.done, 0.0) / rate


@dataclass
class StageProgress:
    """A stage of the night; `expected` seconds are what it took the night before, if tonight's is comparable."""

    expected: float | None = None
    began: float | None = None
    ended: bool = False

    def seconds_left(self, now: float) -> float | None:
        """None where it is not known, or the stage takes longer than expected."""
        if self.ended:
            return 0.0
        if self.expected is None:
            return None
        left = self.expected - (now - self.began if self.began is not None else 0.0)
        return left if left > 0 else None


@dataclass
class NightProgress:
    """The stages that this driver runs, in order."""

    run: str
    stages: dict[str, StageProgress]
    began: float
    expects: Callable[[str], float | None]

    def seconds_left(self, now: float) -> float | None:
        """None unless it is known of every stage."""
        left = [stage.seconds_left(now) for stage in self.stages.values()]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) if len(known) == len(left) else None


@dataclass
class State:
    """What this process is at, for a display."""

    night: NightProgress | None = None
    stage: str | None = None
    phase: Phase | None = None


state = State()
_display: Callable[[], AbstractContextManager[None]] | None = None
_shown = contextlib.ExitStack()
_listens = _takes = _relays = False
_relayed = 0.0


@contextlib.contextmanager
def displayed(display: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Enter `display()` when something begins within this block; leave it with the night, or with the block."""
    global _display, _listens
    _display, _listens = display, True
    try:
        yield
    finally:
        _display, _listens = None, False
        _shown.close()


def _show() -> None:
    global _display
    if _display is None:
        return
    begin, _display = _display, None
    if state.night:
        for name, one in state.night.stages.items():
            one.expected = None if one.ended else state.night.expects(name)
    _shown.enter_context(begin())


@contextlib.contextmanager
def at_night(run: str, stages: Sequence[str], expects: Callable[[str], float | None]) -> Iterator[None]:
    """The stages of this block, in order; `expects` gives the seconds that one takes, if there is anything to go by."""
    state.night = NightProgress(run, {name: StageProgress() for name in stages}, time.monotonic(), expects)
    try:
        yield
    finally:
        state.night = None
        _shown.close()


@contextlib.contextmanager
def at_stage(name: str) -> Iterator[None]:
    """The stage of this block; its phase ends with it."""
    state.stage, state.phase = name, None
    if state.night and name in state.night.stages:
        state.night.stages[name].began = time.monotonic()
    _show()
    try:
        yield
        ended(name)
    finally:
        state.stage = state.phase = None


def ended(name: str) -> None:
    """The stage is done, or was before."""
    if state.night and name in state.night.stages:
        state.night.stages[name].ended = True


def phase(
    words: str,
    total: float | None = None,
    unit: str = "",
    *,
    done: float = 0.0,
    steps: float | None = None,
    at_most: bool = False,
) -> None:
    """A phase begins, of which `done` is done already. `steps`: how many are left, if a step is not one unit."""
    scale = ((total or 0.0) - done) / steps if steps else 1.0
    state.phase = Phase(words, total, unit, at_most, done, done, began=time.monotonic(), scale=scale)
    _show()
    _relay(always=True)


def advance(steps: float = 1) -> None:
    """So many more steps of the phase are done."""
    if state.phase:
        reach(state.phase.done + steps * state.phase.scale)


def reach(done: float, note: str = "") -> None:
    """So many units of the phase are done; `note` is what else there is to say, such as a loss."""
    if state.phase:
        state.phase.done, state.phase.note = done, note
        state.phase.steps += 1
        _relay()


def wait_for(note: str) -> None:
    """What the phase waits for before it can begin; "" once that is there, when the rate's clock starts."""
    if now := state.phase:
        now.note, now.began, now.start, now.steps = note, time.monotonic(), now.done, 0


@contextlib.contextmanager
def from_workers() -> Iterator[bool]:
    """Take relayed phases within this block; whether anybody displays them, and workers should relay."""
    global _takes
    _takes = True
    try:
        yield _listens
    finally:
        _takes = False


def relay() -> None:
    """From now on this process, a worker, tells its phases to the driver."""
    global _relays
    _relays = True


def due() -> bool:
    """Whether this worker would relay its phase now."""
    return _relays and time.monotonic() - _relayed >= RELAY_SECONDS


def _relay(*, always: bool = False) -> None:
    global _relayed
    if _relays and state.phase and (always or due()):
        _relayed = now = time.monotonic()
        # Monotonic clocks of two machines share no zero.
        print(RELAYED + json.dumps(asdict(state.phase) | {"began": now - state.phase.began}), flush=True)


def take(line: str) -> bool:
    """Whether a worker relayed this line; within `from_workers` its phase becomes that of this process."""
    if not line.startswith(RELAYED):
        return False
    if _takes:
        with contextlib.suppress(ValueError, TypeError):  # a line cut short
            relayed = json.loads(line.removeprefix(RELAYED))
            state.phase = Phase(**relayed | {"began": time.monotonic() - relayed["began"]})
    return True
