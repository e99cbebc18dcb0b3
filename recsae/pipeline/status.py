"""The state of a run: which stages are committed, running, missing or damaged, what to run next, and what is served.

Reads the store alone, so it needs no Ray, no language model and no input files; whether those have changed since, only
the next night finds out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.observability.summary import headline, rows, size
from recsae.pipeline.stages import STAGES, Stage
from recsae.store import inspection
from recsae.store.filesystem import Folder, split_query
from recsae.store.inspection import Record, StageInspection
from recsae.store.nights import relocated
from recsae.store.run_store import RunStore
from recsae.text.formatting import number
from recsae.text.redaction import redact_tree, redact_uri

NIGHTS = 5
"""Newest nights that are listed."""
PATIENCE = 2.0
"""Multiple of a lease's own seconds without a heartbeat after which its holder counts as dead: writing one takes
time."""
SERVED = ("night", "dictionary", "report")


@dataclass(frozen=True)
class Holder:
    """Who holds, or held, a lease."""

    name: str
    """Machine and process, where known."""
    since: float | None
    """Seconds since 1970, by the holder's clock."""
    beat: float | None
    """Its last heartbeat, likewise."""


@dataclass(frozen=True)
class StageState:
    name: str
    state: str
    """`committed`, `running`, `unfinished` (begun and left), `damaged` or `missing`."""
    note: str = ""
    fingerprint: str | None = None
    committed_at: str | None = None
    seconds: float | None = None
    rows: int | None = None
    bytes: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    holder: Holder | None = None


@dataclass(frozen=True)
class RunState:
    run: str
    root: str
    exists: bool
    stages: tuple[StageState, ...] = ()
    missing: tuple[str, ...] = ()
    """Stages without a usable result."""
    following: str = "nightly"
    """The stage to run next, or `nightly` or `publish`; empty: none."""
    why: str = "nothing has been made yet"
    served: Mapping[str, str] | None = None
    """The night, the dictionary and the report."""
    problem: str = ""
    """What is wrong with what is served."""
    nights: tuple[Mapping[str, Any], ...] = ()
    making: Holder | None = None
    """Who is making a night now."""


def look(config: Config, clock: Callable[[], float] = time.time) -> RunState:
    """The state of the config's run. Raises BadInput where the store cannot be read."""
    run = RunStore(config.store.root, config.name).folder
    root, now = redact_uri(config.store.root), clock()
    try:
        there = inspection.exists(run)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"store.root: {root} cannot be read ({reason}); give a folder or URI that can") from None
    if not there:
        return RunState(config.name, root, exists=False)
    stages: dict[str, StageState] = {}
    for stage in STAGES.values():
        above = {need: stages[need].fingerprint for need in stage.inputs}
        stages[stage.name] = _state(config, stage, above, inspection.stage(run, stage.name), now)
    current, problem = inspection.record(run, "current.json")
    current = relocated(current, run) if current else current
    served = {key: redact_uri(str(current.get(key, ""))) for key in SERVED} if current else None
    nights = list(inspection.nights(run, NIGHTS))
    following, why = _following(stages, run, current, nights)
    return RunState(
        run=config.name,
        root=root,
        exists=True,
        stages=tuple(stages.values()),
        missing=tuple(one.name for one in stages.values() if one.state != "committed"),
        following=following,
        why=why,
        served=served,
        problem=problem or (_gone(run, served) if served else ""),
        nights=tuple(_night(name, record, served) for name, record in nights),
        making=_holder(lease) if _alive(lease := inspection.lease(run.child("_night")), now) else None,
    )


def _state(
    config: Config, stage: Stage, above: Mapping[str, str | None], found: Iterable[StageInspection], now: float
) -> StageState:
    """The state of a stage by one of its fingerprints: the one being made, else the newest result that fits the
    config."""
    found = list(found)
    unfit = {one.fingerprint: _unfit(config, stage, one, above) for one in found if one.done}
    results = sorted((one for one in found if one.done), key=_committed_at)
    fitting = [one for one in results if not unfit[one.fingerprint]]
    begun = sorted((one for one in found if not one.done and not one.problem), key=_beat)
    running = [one for one in begun if _alive(one.lease, now)]
    if running:
        one = running[-1]
        return StageState(stage.name, "running", "", one.fingerprint, holder=_holder(one.lease))
    if fitting:
        return _committed(stage.name, fitting[-1])
    for one in found:
        if one.problem:
            return StageState(stage.name, "damaged", one.problem, one.fingerprint)
    if begun:
        one = begun[-1]
        note = "ended without a result" if one.lease.get("released") else "its owner fell silent"
        return StageState(stage.name, "unfinished", note, one.fingerprint, holder=_holder(one.lease))
    return StageState(stage.name, "missing", unfit[results[-1].fingerprint] if results else "")


def _committed_at(one: StageInspection) -> str:
    return str(one.done.manifest["committed_at"]) if one.done else ""


def _beat(one: StageInspection) -> float:
    return number(one.lease.get("beat")) or 0.0


def _committed(name: str, one: StageInspection) -> StageState:
    assert one.done is not None
    manifest, problem = one.done.manifest, " ".join(one.done.damage() or ())
    try:
        count = None if problem else rows(one.done)
    except (OSError, ValueError, pa.ArrowException):
        count, problem = None, f"{name}.parquet cannot be read"
    return StageState(
        name,
        "damaged" if problem else "committed",
        problem,
        one.fingerprint,
        str(manifest["committed_at"]),
        number(manifest.get("seconds")),
        count,
        size(one.done),
        headline(name, one.done.metrics),
    )


def _unfit(config: Config, stage: Stage, one: StageInspection, above: Mapping[str, str | None]) -> str:
    """Why a result cannot be this config's; empty: it may be."""
    assert one.done is not None
    manifest = one.done.manifest
    if manifest.get("version") != stage.version:
        return "only made by another version of the stage"
    inputs = manifest.get("inputs")
    if not isinstance(inputs, Mapping) or any(inputs.get(need) != print_ for need, print_ in above.items()):
        return "only made of other inputs"
    made = manifest.get("config")
    wanted = config.recorded(include=set(stage.config))  # with credentials, which no manifest holds
    if not isinstance(made, Mapping) or any(
        redact_tree(made.get(key)) != redact_tree(value) for key, value in wanted.items()
    ):
        return "only made under another config"
    return ""


def _following(
    stages: Mapping[str, StageState], run: Folder, current: Record | None, nights: Iterable[tuple[str, Record]]
) -> tuple[str, str]:
    """The stage to run next, and why."""
    for one in stages.values():
        if one.state == "damaged":
            folder = redact_uri(run.child(one.name, str(one.fingerprint)).uri)
            return one.name, f"{one.name} is damaged: {one.note}; delete {folder} first"
    for one in stages.values():
        if one.state == "running":
            return "", f"{one.name} is being made"
        if one.state != "committed":
            return one.name, f"{one.name} is {one.state}; `recsae run` makes all that is missing"
    made = {name: one.fingerprint for name, one in stages.items()}
    if current and current.get("fingerprints") == made:
        return "", "all is made and served"
    for name, record in nights:
        if record.get("fingerprints") == made and (failed := _failed(record)):
            return "", f"all is made, and night {name} was not served: it missed {', '.join(failed)}"
    return "publish", "all is made, and is not what is served"


def _gone(run: Folder, served: Mapping[str, str]) -> str:
    """Which served file is missing; empty: none."""
    here = split_query(redact_uri(run.uri))[0] + "/"
    for key in ("dictionary", "report"):
        name = split_query(served[key])[0].removeprefix(here)
        try:
            if not run.filesystem.get_file_info(run.locate(name)).is_file:
                return f"the {key} that current.json names is gone"
        except OSError:
            return f"the {key} that current.json names cannot be looked at"
    return ""


def _night(name: str, record: Record, served: Mapping[str, str] | None) -> Mapping[str, Any]:
    return {
        "night": name,
        "current": served is not None and served["night"] == name,
        "readable": bool(record),
        "missed": _failed(record),
    }


def _failed(record: Record) -> list[str]:
    """Keys of the gate that a night failed."""
    checks = record.get("checks")
    known = [check for check in checks if isinstance(check, Mapping)] if isinstance(checks, list | tuple) else []
    return [str(check.get("key")) for check in known if not check.get("passed", True)]


def _alive(lease: Record, now: float) -> bool:
    beat, seconds = number(lease.get("beat")), number(lease.get("seconds"))
    if lease.get("released", True) or beat is None or seconds is None:
        return False
    return now - beat <= PATIENCE * seconds


def _holder(lease: Record) -> Holder:
    """Leases of an older recsae name no machine."""
    host, pid, holder = (lease.get(key) for key in ("host", "pid", "holder"))
    name = f"{host} (process {pid})" if host and pid else str(holder or "nobody known")
    return Holder(name, number(lease.get("since")), number(lease.get("beat")))
