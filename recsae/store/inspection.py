"""Reads a run's folder while others write to it, whatever state it is in.

A file that cannot be read is reported and raises nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from recsae.store.filesystem import Folder
from recsae.store.nights import MANIFEST
from recsae.store.run_store import Committed

Record = Mapping[str, Any]
OF_A_MANIFEST = {"stage": str, "fingerprint": str, "attempt": str, "files": list, "metrics": dict, "committed_at": str}
"""Keys that are read of a manifest, with their types; others may be missing."""


@dataclass(frozen=True)
class StageInspection:
    """One fingerprint of a stage."""

    folder: Folder
    fingerprint: str
    done: Committed | None
    """Its result, by its manifest; None: there is no usable one."""
    problem: str
    """Why its manifest is unusable; empty: it is usable, or there is none."""
    lease: Record
    """The last heartbeat of its newest lease; empty: nobody has held one."""


def stage(run: Folder, name: str) -> list[StageInspection]:
    """Every fingerprint of a stage, sorted."""
    return [_found(run.child(name, fingerprint), name, fingerprint) for fingerprint in _within(run, name, folders=True)]


def _found(folder: Folder, name: str, fingerprint: str) -> StageInspection:
    manifest, problem = record(folder, MANIFEST)
    if manifest is not None:
        wrong = [key for key, kind in OF_A_MANIFEST.items() if not isinstance(manifest.get(key), kind)]
        if not wrong and any(not _is_file(file) for file in manifest["files"]):
            wrong = ["files"]
        if not wrong and (manifest["stage"], manifest["fingerprint"]) != (name, fingerprint):
            wrong = ["fingerprint"]
        problem = f"{MANIFEST} has no usable {wrong[0]}" if wrong else ""
    done = Committed(folder, manifest) if manifest is not None and not problem else None
    return StageInspection(folder, fingerprint, done, problem, lease(folder.child("_progress")))


def _is_file(file: Any) -> bool:
    return isinstance(file, dict) and isinstance(file.get("name"), str) and isinstance(file.get("bytes"), int)


def lease(folder: Folder) -> Record:
    """The last heartbeat of the newest lease in a folder; empty: nobody has held one, or it cannot be read."""
    for last in _within(folder, "lease")[-1:]:
        return record(folder, f"lease/{last}")[0] or {}
    return {}


def nights(run: Folder, most: int) -> Iterator[tuple[str, Record]]:
    """The newest nights by name, newest first, each with its record, which is empty where it cannot be read."""
    for name in reversed(_within(run, "nights")[-most:]):
        found, _ = record(run, f"nights/{name}")
        yield name.removesuffix(".json"), found or {}


def exists(run: Folder) -> bool:
    """Whether the run exists. Raises OSError where the store cannot be read."""
    return bool(run.filesystem.get_file_info(run.path).type == pafs.FileType.Directory)


def record(folder: Folder, name: str) -> tuple[Record | None, str]:
    """A JSON object, or None and the reason; an empty reason: there is no such file."""
    try:
        found = folder.read_json(name)
    except (OSError, ValueError, pa.ArrowException) as error:
        kind = "is not whole" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else "cannot be read"
        return None, f"{name} {kind}"
    if found is None:
        return None, ""
    return (found, "") if isinstance(found, dict) else (None, f"{name} is not whole")


def _within(folder: Folder, name: str, *, folders: bool = False) -> list[str]:
    """Names of the folders directly in a folder, or of its JSON files, sorted."""
    selector = pafs.FileSelector(folder.locate(name), allow_not_found=True)
    try:
        infos = folder.filesystem.get_file_info(selector)
    except OSError:  # deleted while pyarrow listed, no permission, or a file in its place
        return []
    if folders:
        return sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory)
    return sorted(info.base_name for info in infos if info.type == pafs.FileType.File and info.extension == "json")
