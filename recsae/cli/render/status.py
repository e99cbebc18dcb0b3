"""The state of a run as a table in the terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from recsae.cli.render import terminal
from recsae.pipeline.status import RunState, StageState
from recsae.text.formatting import DASH, binary_size, figure
from recsae.text.sanitize import plain

MARKS = {"committed": "✓", "running": "▶", "unfinished": "…", "damaged": "✗", "missing": "·"}


def print_status(state: RunState, command: str) -> None:
    """Print the stages, the `command` to run next (empty: none), and what is served."""
    console = terminal.console()

    def told(what: str, text: str) -> None:
        console.print(f"{what:<10}  {plain(text)}", soft_wrap=True)

    told("run", f"{state.run} in {state.root}" if state.exists else f"{state.run}: there is none yet in {state.root}")
    if state.exists:
        console.print(_table(state.stages))
    if state.missing and state.exists:
        told("missing", ", ".join(state.missing))
    told("next", f"{command}   ({state.why})" if command else f"nothing: {state.why}")
    if state.making:
        told("night", f"being made by {state.making.name}{_since(state.making.since)}")
    if state.served:
        told("served", f"night {state.served['night']}")
        told("dictionary", state.served["dictionary"])
        told("report", state.served["report"])
    elif not state.problem:
        told("served", "nothing yet")
    if state.problem:
        told("damaged", state.problem)
    for number, night in enumerate(state.nights):
        told("" if number else "nights", _night(night))


def _night(night: Mapping[str, object]) -> str:
    told = str(night["night"])
    if night["current"]:
        told += ", served"
    if not night["readable"]:
        told += ", its record cannot be read"
    missed = night["missed"]
    return told + (f", not served: it missed {', '.join(missed)}" if isinstance(missed, list) and missed else "")


def _table(stages: tuple[StageState, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("stage", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("seconds", "rows"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("figures", ratio=1)
    table.add_column("size", justify="right", no_wrap=True)
    for heading in ("committed (UTC)", "fingerprint"):
        table.add_column(heading, no_wrap=True)
    for one in stages:
        table.add_row(
            MARKS[one.state],
            one.name,
            one.state,
            DASH if one.seconds is None else f"{one.seconds:,.1f}",
            DASH if one.rows is None else f"{one.rows:,}",
            Text(plain(_telling(one))),
            DASH if one.bytes is None else binary_size(one.bytes),
            _committed(one.committed_at),
            Text(plain(one.fingerprint or DASH)),
        )
    return table


def _telling(one: StageState) -> str:
    if one.holder:
        beat = f", last sign of life {_clock(one.holder.beat)}" if one.state != "running" and one.holder.beat else ""
        note = f"{one.note}: " if one.note else ""
        return f"{note}by {one.holder.name}{_since(one.holder.since)}{beat}"
    return one.note or " · ".join(f"{name} {figure(value)}" for name, value in one.figures.items())


def _since(seconds: float | None) -> str:
    return "" if seconds is None else f" since {_clock(seconds)}"


def _clock(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "?"


def _committed(stamp: str | None) -> str:
    """`20261125T184019-693056423Z` as people write it."""
    if stamp is None:
        return DASH
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.strptime(stamp[:15], "%Y%m%dT%H%M%S"))
    except ValueError:
        return plain(stamp[:19])
