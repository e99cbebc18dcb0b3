"""Ray Train's part of a training, played in one process: a worker's context, and the checkpoints that it reports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.train
from ray.train import Checkpoint


class Reports:
    """The n-th report of a run is the folder `{root}/{n}`, to which every worker adds its files."""

    def __init__(self, root: Path) -> None:
        self.root, self.steps = root, 0

    @property
    def newest(self) -> Path:
        return self.root / str(self.steps)

    @contextmanager
    def worker(
        self, monkeypatch: pytest.MonkeyPatch, rank: int = 0, world: int = 1, resume: Path | None = None
    ) -> Iterator[None]:
        """What runs inside is one worker, which finds the checkpoint `resume`; workers run one after the other."""
        reported = 0

        def report(metrics: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
            nonlocal reported
            reported += 1
            if checkpoint:
                shutil.copytree(checkpoint.path, self.root / str(reported), dirs_exist_ok=True)

        context = SimpleNamespace(get_world_rank=lambda: rank, get_world_size=lambda: world)
        monkeypatch.setattr(ray.train, "get_context", lambda: context)
        monkeypatch.setattr(ray.train, "get_checkpoint", lambda: resume and Checkpoint.from_directory(str(resume)))
        monkeypatch.setattr(ray.train, "report", report)
        yield
        self.steps = reported


def contents(checkpoint: Path) -> dict[str, bytes]:
    """Every file of a checkpoint, by its path in it."""
    files = (path for path in checkpoint.rglob("*") if path.is_file())
    return {str(path.relative_to(checkpoint)): path.read_bytes() for path in files}
