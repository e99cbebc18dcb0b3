"""Reserved resources: those of the cluster, at most one machine's CPUs, and no error if nothing answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recsae.distributed import cluster as machines

REPOSITORY = Path(__file__).parents[2]


class Cluster:
    """Ray as a driver sees it; None if it is not initialized."""

    def __init__(self, resources: dict[str, float] | None, alive: tuple[bool, ...] = (True,)) -> None:
        self.resources, self.alive = resources, alive

    def is_initialized(self) -> bool:
        return self.resources is not None

    def cluster_resources(self) -> dict[str, float]:
        assert self.resources is not None
        return self.resources

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": one} for one in self.alive]


@pytest.mark.parametrize(
    ("cluster", "found"),
    [
        (Cluster(None), {"cpus": 4.0, "gpus": 0.0}),
        (Cluster({"CPU": 2.0, "memory": 1e9}), {"cpus": 2.0, "gpus": 0.0}),
        (
            Cluster({"CPU": 10.0, "GPU": 1.0}),
            {"cpus": 4.0, "gpus": 1.0},
        ),  # local, with extra logical CPUs
        (Cluster({"CPU": 96.0, "GPU": 8.0}, (True, True)), {"cpus": 96.0, "gpus": 8.0}),
        (Cluster({"CPU": 10.0}, (True, False)), {"cpus": 4.0, "gpus": 0.0}),
        (Cluster({"GPU": 1.0}, (True, True)), {"cpus": 0.0, "gpus": 1.0}),
    ],
)
def test_reserved_is_what_the_cluster_has(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster, found: dict[str, float]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", cluster)
    monkeypatch.setattr(machines.os, "cpu_count", lambda: 4)
    assert machines.reserved() == found


def test_a_cluster_that_does_not_answer_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster({"CPU": 1.0})
    monkeypatch.setattr(cluster, "cluster_resources", lambda: 1 / 0)
    monkeypatch.setitem(sys.modules, "ray", cluster)
    assert machines.reserved() is None
    assert "does not report the cluster's resources" in caplog.text


@pytest.mark.parametrize(("address", "reached"), [(None, "False"), ("10.0.0.1:6379", "True")])
def test_only_ray_of_its_own_is_kept_to_loopback(address: str | None, reached: str) -> None:
    """A driver on a cluster must find the address of its machine."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import recsae.distributed.cluster; from ray._private.ray_constants import *; print(ENABLE_RAY_CLUSTER)",
        ],
        cwd=REPOSITORY,
        env={**environment, **({"RAY_ADDRESS": address} if address else {})},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == reached
