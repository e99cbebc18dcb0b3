"""kill -9 of drivers, workers, actors, engines and nodes, at every stage: the stage makes the same all the same."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from recsae.pipeline.stages import STAGES
from tests.faults.cluster import ThreeNodes, caught
from tests.faults.nights import PATIENCE, Store, assert_same_dictionary, assert_same_files

WORKERS = {
    "recommender": "RayTrainWorker",
    "activations": "MapWorker",
    "sae": "RayTrainWorker",
    "matching": "",
    "evidence": "",
    "statistics": "",
    "labels": "Engine",
    "scores": "Engine",
    "steering": "",
}
"""Who works for a stage, by the name of its process; where tasks of many names do, whichever is seen first."""
ASKED = ("labels", "scores")
"""Stages whose answers a language model gives, and which are equal as dictionaries and not to the byte."""
Kill = Callable[[Any, psutil.Process], None]
"""Does away with a worker, or with the node that it is on."""
TRIES = 3
"""A stage may end before it could be disturbed; then it is begun again."""
SHORT = {("driver", "sae"), ("worker", "activations"), ("node", "evidence")}


def cases(what: str, stages: list[str]) -> list[object]:
    """`make test` runs some of them, `make faults` all."""
    return [pytest.param(stage, marks=[pytest.mark.short] if (what, stage) in SHORT else []) for stage in stages]


def assert_undisturbed(nights: Store, copy: Store, stage: str) -> None:
    if stage in ASKED:
        for later in ("labels", "scores", "steering", "concepts"):
            status, said = copy.run(later)
            assert status == 0, said
        assert_same_dictionary(nights, copy)
    elif stage != "report":  # it tells of seconds
        assert_same_files(nights.committed(stage), copy.committed(stage))
    assert copy.committed(stage).fingerprint == nights.committed(stage).fingerprint
    assert copy.served() == 1, "the second night was not published"


def ended(driver: subprocess.Popen[str]) -> bool:
    return driver.poll() is not None


@pytest.mark.parametrize("stage", cases("driver", list(STAGES)))
def test_the_driver(stage: str, nights: Store, tmp_path: Path) -> None:
    for number in range(TRIES):
        copy = nights.copy(tmp_path / str(number), before=stage)
        lease = copy.lease_folder(stage)
        driver = copy.start(stage)
        while not ended(driver) and not (lease.is_dir() and any(lease.iterdir())):
            time.sleep(0.002)
        if stage in WORKERS:
            time.sleep(1.0)  # into the middle of it
        driver.kill()
        driver.communicate()
        if copy.pipeline().committed(stage) is None:
            break
    else:
        pytest.fail("the stage ended before it could be disturbed")
    assert copy.served() == 1
    status, said = copy.run(stage)
    assert status == 0, said
    assert_undisturbed(nights, copy, stage)


def disturbed(stage: str, nights: Store, cluster: ThreeNodes, folder: Path, kill: Kill) -> Store:
    """A second night whose stage lost a worker, as `kill` does it, and came to its end."""
    for number in range(TRIES):
        copy = nights.copy(folder / str(number), before=stage)
        driver = copy.start(stage)
        found = caught(lambda: cluster.working(WORKERS[stage]), lambda driver=driver: ended(driver))  # type: ignore[misc]
        if found:
            kill(*found)
        said, _ = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, said
        if found:
            return copy
    pytest.fail("no worker was seen")


@pytest.mark.parametrize("stage", cases("worker", list(WORKERS)))
def test_a_worker(stage: str, nights: Store, cluster: ThreeNodes, tmp_path: Path) -> None:
    copy = disturbed(stage, nights, cluster, tmp_path, lambda _, worker: worker.kill())
    assert_undisturbed(nights, copy, stage)


@pytest.mark.parametrize("stage", cases("node", list(WORKERS)))
def test_a_whole_node(stage: str, nights: Store, cluster: ThreeNodes, tmp_path: Path) -> None:
    copy = disturbed(stage, nights, cluster, tmp_path, lambda node, _: cluster.kill_node(node))
    assert_undisturbed(nights, copy, stage)
