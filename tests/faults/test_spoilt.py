"""Spoilt files, full disks, two drivers, clocks that jump: one clear sentence or the same, and a night stays served."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.nights import PATIENCE, Store, assert_same_dictionary

MIB = 2**20


def sentence(said: str) -> str:
    """The one line that a job ends with."""
    told = [line for line in said.splitlines() if line.startswith("recsae: ")]
    assert len(told) == 1, said
    assert "Traceback" not in said
    return told[0]


@pytest.mark.short
@pytest.mark.parametrize("spoil", ["cut", "gone"])
def test_a_shard(spoil: str, nights: Store, tmp_path: Path) -> None:
    copy = nights.copy(tmp_path / "store", before="evidence")
    made = copy.committed("activations")
    shard = Path(made.data.locate(made.files("shards/")[0]))
    if spoil == "cut":
        os.truncate(shard, shard.stat().st_size // 2)
    else:
        shard.unlink()
    status, said = copy.run("nightly")
    assert status == 2 and shard.name in sentence(said) and "delete" in sentence(said)
    assert copy.served() == 1
    shutil.rmtree(made.folder.path)
    status, said = copy.run("activations")
    assert status == 0, said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("stage", ["activations", "evidence"])
def test_a_full_disk(stage: str, nights: Store, small_disk: Path) -> None:
    copy = nights.copy(small_disk / "store", before=stage)
    disk = shutil.disk_usage(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * max(0, disk.free - 96 * 1024))
    status, said = copy.run(stage)
    assert status == 2 and "free some" in sentence(said)
    assert copy.served() == 1 and copy.pipeline().committed(stage) is None
    filler.unlink()
    status, said = copy.run(stage)
    assert status == 0, said
    assert copy.committed(stage).files() == nights.committed(stage).files()


def test_two_nights_at_once(nights: Store, tmp_path: Path) -> None:
    copy = nights.copy(tmp_path / "store", before="concepts")
    drivers = [copy.start("nightly") for _ in range(2)]
    said = [driver.communicate(timeout=PATIENCE)[0] for driver in drivers]
    assert sorted(driver.returncode for driver in drivers) == [0, 2], said
    refused = said[[driver.returncode for driver in drivers].index(2)]
    assert "another night of run planted is at work" in sentence(refused)
    assert copy.served() == 2
    assert_same_dictionary(nights, copy)


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps(days: int, nights: Store, tmp_path: Path) -> None:
    copy = nights.copy(tmp_path / "store", before="report")
    status, said = copy.run("report")
    assert status == 0, said
    driver = copy.pipeline()
    now = driver.store.clock
    driver.store.nights.clock = lambda: now() + days * 86_400
    driver.publish()
    assert copy.served() == 2
    assert [night["number"] for night in copy.pipeline().store.nights.all()] == [1, 2]
    assert copy.run("nightly")[0] == 0 and copy.served() == 2


def test_a_broken_night_is_stopped_by_the_gate(nights: Store, tmp_path: Path) -> None:
    copy = nights.copy(tmp_path / "store", before="report")
    status, said = copy.run("nightly", "nights.gate.fvu=0.000001")
    assert status == 3 and "nights.gate.fvu = 1e-06" in sentence(said)
    assert copy.served() == 1
    status, said = copy.run("publish", "nights.gate.fvu=0.000001")
    assert status == 3 and "stays the one that is served" in sentence(said)
    assert copy.run("nightly")[0] == 0 and copy.served() == 3, "the operator has moved the threshold back"
