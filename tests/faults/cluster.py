"""A Ray cluster of three nodes on this machine, and who works for it: to be killed with -9."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from ray.cluster_utils import Cluster

WORKER_CPUS = 2
STORE_BYTES = 300 * 2**20
OF_RAY_ITSELF = re.compile(
    r"ray::(IDLE|DashboardAgent|RuntimeEnvAgent|_StatsActor|DatasetManager|_AutoscalingCoordinator|ActorLocationTracker|"
    r"AutoscalingRequester|TrainController|PlacementGroupCleaner|_DatasetStats|SpillWorker|RestoreWorker|SplitCoord)"
)


class ThreeNodes:
    """A head that runs drivers alone, and two nodes that work; a node that was killed is replaced."""

    def __init__(self) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES})
        self.nodes = [self._add(), self._add()]

    def _add(self) -> Any:
        return self.cluster.add_node(num_cpus=WORKER_CPUS, object_store_memory=STORE_BYTES)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def close(self) -> None:
        self.cluster.shutdown()

    def kill_node(self, node: Any) -> None:
        """Raylet, agents and workers of a node, all at once; another takes its place."""
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        workers = raylet.children(recursive=True)
        self.cluster.remove_node(node, allow_graceful=False)
        for worker in workers:
            with contextlib.suppress(psutil.Error):
                worker.kill()
        self.nodes[self.nodes.index(node)] = self._add()

    def working(self, name: str = "") -> Iterator[tuple[Any, psutil.Process]]:
        """Node and process of every worker that is at some task or is an actor of ours, whose name begins so."""
        for node in self.nodes:
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        title = " ".join(process.cmdline())
                        if title.startswith(f"ray::{name}") and not OF_RAY_ITSELF.match(title):
                            yield node, process


def caught(
    look: Callable[[], Iterator[tuple[Any, psutil.Process]]], ended: Callable[[], bool], seconds: float = 300
) -> tuple[Any, psutil.Process] | None:
    """The first that `look` sees; None where the work ended before."""
    deadline = time.monotonic() + seconds
    while not ended() and time.monotonic() < deadline:
        found = next(look(), None)
        if found:
            return found
        time.sleep(0.005)
    return None
