"""The state of a run: what is committed, being made, missing or damaged, what to run next, and what is served.

It reads the store alone and starts nothing, so it may be asked while a night runs: `--json` for machines.

ray job submit --working-dir . -- python -m jobs.status --config jobs/configs/demo.toml --set store.root=/data/runs
"""

from __future__ import annotations

import json
import shlex
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from recsae.cli.command import Parser, ending, refuse_lost
from recsae.cli.render import terminal
from recsae.config.loader import load
from recsae.text.redaction import redact_secrets
from recsae.text.sanitize import plain

if TYPE_CHECKING:
    from recsae.pipeline.status import RunState, StageState

MARKS = {"committed": "✓", "running": "▶", "unfinished": "…", "damaged": "✗", "missing": "·"}


def main() -> None:
    parser = Parser("the state of a run")
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")
    arguments = parser.parse_args()
    with ending("nothing was changed"):
        config = load(arguments.config, arguments.set)
        refuse_lost("store.root", config.store.root)
        from recsae.pipeline.status import look

        state = look(config)
    if arguments.json:
        print(json.dumps({**asdict(state), "next": _command(state.following, arguments)}, ensure_ascii=False))
    else:
        _print(state, arguments)


def _command(job: str, arguments: Namespace) -> str:
    """The line that runs a job on this config; empty: there is no job to run."""
    overrides = [part for pair in arguments.set for part in ("--set", pair)]
    line = shlex.join(["python", "-m", f"jobs.{job}", "--config", arguments.config, *overrides])
    return plain(redact_secrets(line)) if job else ""


def _print(state: RunState, arguments: Namespace) -> None:
    console = terminal.console()

    def told(what: str, text: str) -> None:
        console.print(f"{what:<10}  {plain(text)}", soft_wrap=True)

    command = _command(state.following, arguments)
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
            "—" if one.seconds is None else f"{one.seconds:,.1f}",
            "—" if one.rows is None else f"{one.rows:,}",
            Text(plain(_telling(one))),
            "—" if one.bytes is None else _size(one.bytes),
            _committed(one.committed_at),
            Text(plain(one.fingerprint or "—")),
        )
    return table


def _telling(one: StageState) -> str:
    if one.holder:
        beat = f", last sign of life {_clock(one.holder.beat)}" if one.state != "running" and one.holder.beat else ""
        note = f"{one.note}: " if one.note else ""
        return f"{note}by {one.holder.name}{_since(one.holder.since)}{beat}"
    return one.note or " · ".join(f"{name} {_figure(value)}" for name, value in one.figures.items())


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


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
        return "—"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.strptime(stamp[:15], "%Y%m%dT%H%M%S"))
    except ValueError:
        return plain(stamp[:19])


if __name__ == "__main__":
    main()
