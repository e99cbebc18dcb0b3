"""Shows progress: in a terminal one live display, elsewhere a line of the log every ten seconds."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from recsae.observability import log_format, log_streams
from recsae.observability.progress import NightProgress, Phase, StageProgress, State, state

if TYPE_CHECKING:
    from rich.console import RenderableType

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
FRAMES = 4
"""A second."""
BAR = 24
"""Columns."""


@contextlib.contextmanager
def display() -> Iterator[None]:
    """Show progress within this block, and keep everything that is written in a log file."""
    with log_format.log_file(state.night.run if state.night else "command") as path:
        if path:
            log.info("log, with what libraries write: %s", path)
        with _live() if _draws(sys.stdout) else _logged():
            yield


def _draws(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextlib.contextmanager
def _live() -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    terminal = cast(TextIO, getattr(sys.stdout, "raw", sys.stdout))
    console = Console(file=terminal, highlight=False, markup=False, emoji=False)
    live = Live(
        get_renderable=lambda: rendered(state, time.monotonic()),
        console=console,
        refresh_per_second=FRAMES,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live, log_streams.printed_by(lambda line: console.print(Text.from_ansi(line), soft_wrap=True)):
        yield


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    over = threading.Event()

    def tell() -> None:
        while not over.wait(LOG_SECONDS):
            if line := in_words(state, time.monotonic()):
                log.info("%s", line)

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rendered(shown: State, now: float) -> RenderableType:
    """The night, the stage at work and its phase, a line each, with a bar where it is known how much there is."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(width=BAR)
    table.add_column(no_wrap=True, overflow="ellipsis")

    def row(name: str, total: float | None, done: float, words: str) -> None:
        bar = ProgressBar(total=total, completed=min(done, total), width=BAR) if total else ""
        table.add_row(name, bar, words)

    night, stage, phase = shown.night, shown.stage, shown.phase
    if night:
        done = sum(one.ended for one in night.stages.values())
        row(night.run, len(night.stages), done, f"{done} of {len(night.stages)} stages, {_of_night(night, now)}")
        if stage in night.stages:
            one = night.stages[stage]
            row(stage, one.expected, now - (one.started_at or now), _of_stage(one, now))
    if phase:
        row(_named(stage, phase), phase.total, phase.done, _how_far(phase, now))
    return table


def in_words(shown: State, now: float) -> str:
    """The same in one line: `labels: free names, 12 of 128 latents, 3.4 a second, 34 s left`; empty between stages."""
    night, stage, phase = shown.night, shown.stage, shown.phase
    parts = [_named(stage, phase), _how_far(phase, now)] if phase else [stage or ""]
    if night and stage in night.stages:
        one = night.stages[stage]
        if one.seconds_left(now) is not None or not phase:
            parts.append(f"stage {_of_stage(one, now)}")
        if (left := night.seconds_left(now)) is not None:
            parts.append(f"night about {span(left)} left")
    return ", ".join(part for part in parts if part)


def _named(stage: str | None, phase: Phase) -> str:
    return f"{stage}: {phase.name}" if stage else phase.name


def _of_night(night: NightProgress, now: float) -> str:
    return _with_left(now - night.started_at, night.seconds_left(now))


def _of_stage(stage: StageProgress, now: float) -> str:
    return _with_left(now - (stage.started_at or now), stage.seconds_left(now))


def _with_left(seconds: float, left: float | None) -> str:
    return span(seconds) if left is None else f"{span(seconds)}, about {span(left)} left"


def _how_far(phase: Phase, now: float) -> str:
    parts = []
    if phase.total is not None:
        parts.append(f"{int(phase.done):,} of {int(phase.total):,} {phase.unit}".rstrip())
    rate, left = phase.rate(now), phase.seconds_left(now)
    if rate is None or left is None:
        parts.append(span(now - phase.started_at))
    else:
        parts += [_per_time(rate), f"{'at most ' if phase.at_most else ''}{span(left)} left"]
    return ", ".join([*parts, *([phase.note] if phase.note else [])])


def _per_time(rate: float) -> str:
    if rate < 1:
        return f"{60 * rate:.1f} a minute"
    return f"{rate:.1f} a second" if rate < 100 else f"{rate:,.0f} a second"


def span(seconds: float) -> str:
    """`34 s`, `2 min 05 s`, `1 h 07 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
