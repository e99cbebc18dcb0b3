"""Killing a Train worker in the middle of a training under one store root, and seeing that it is replaced."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

import psutil


class Killed(NamedTuple):
    """A Train worker, and what the run had kept when it died."""

    pid: int
    history: list[dict[str, Any]]
    """That of the newest checkpoint that Ray Train knew of."""
    replaced: set[int]
    """Train workers seen afterwards."""


def train_workers() -> set[int]:
    """Processes of this session's Train workers."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may end while it is looked at
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and " ".join(process.cmdline()).startswith("ray::RayTrainWorker"):
                found.add(process.pid)
    return found


def known_history(root: Path, model: str) -> list[dict[str, Any]]:
    """What the newest checkpoint in Ray Train's own list says of a model; nothing where there is none yet."""
    for snapshot in root.glob("**/_progress/train/checkpoint_manager_snapshot.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):  # read while it is written, or just replaced
            newest = json.loads(snapshot.read_text())["latest_checkpoint_result"]["checkpoint_dir_name"]
            state = json.loads((snapshot.parent / newest / model / "state.json").read_text())
            history: list[dict[str, Any]] = state["history"]
            return history
    return []


def kill_one(root: Path, model: str, ended: threading.Event) -> Killed | None:
    """Kill one of two Train workers once two entries of a model's history are kept, and wait for others.

    None where the training ended before.
    """
    while not ended.wait(0.02):
        history = known_history(root, model)
        workers = train_workers() if len(history) >= 2 else set()
        if len(workers) != 2:
            continue
        victim = max(workers)
        psutil.Process(victim).kill()
        replaced: set[int] = set()
        while len(replaced) < 2 and not ended.wait(0.2):
            replaced |= train_workers() - workers
        return Killed(victim, history, replaced)
    return None
