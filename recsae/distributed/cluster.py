"""Starts or joins Ray, and reports the CPUs and GPUs that a running stage has reserved."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from recsae.config.schema import Config

log = logging.getLogger(__name__)

if not os.environ.get("RAY_ADDRESS"):
    # A Ray started here listens on loopback only, including its object store and agents. Ray reads this variable on
    # import, so import this module first.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def start_ray(config: Config) -> None:
    """Join the cluster at RAY_ADDRESS, or start a local Ray for this process; do nothing if Ray is already initialized.

    A local Ray gets more logical CPUs than actors: stages hold theirs while Ray Data needs one to feed them. Ray
    installs its own SIGTERM handler.
    """
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # else Train workers' lines are printed twice
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address=os.environ["RAY_ADDRESS"], logging_level=logging.ERROR)
        return
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # a local machine is never preempted
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")  # checkpoints wait for it; default 2 s
    resources = config.resources
    widest = max(resources.train_workers, resources.probe_actors, resources.llm_actors)
    ray.init(
        address="local",
        num_cpus=max(os.cpu_count() or 1, widest + 2),
        include_dashboard=False,
        logging_level=logging.ERROR,
        runtime_env={"worker_process_setup_hook": _quiet_worker()},
    )


def _quiet_worker() -> Callable[[], None]:
    """The setup hook of worker processes; a closure, so that Ray pickles it by value and workers import nothing."""

    def quiet() -> None:
        """Silence Ray Train's cleaner: without a dashboard it warns every second, or its thread dies with an error."""
        import threading

        logging.getLogger("ray.train.v2._internal.execution.controller").setLevel(logging.ERROR)
        default = threading.excepthook
        threading.excepthook = lambda ended: (
            None if ended.thread and ended.thread.name == "PlacementGroupCleanerMonitor" else default(ended)
        )

    return quiet


def reserved() -> dict[str, float] | None:
    """`cpus` and `gpus` of the cluster now, or of this machine if Ray is not initialized.

    None if the cluster does not answer: that must not fail a finished stage.
    """
    import ray

    local_cpus = float(os.cpu_count() or 1)
    if not ray.is_initialized():
        return {"cpus": local_cpus, "gpus": 0.0}
    try:
        total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]
    except Exception as error:
        log.warning("Ray does not report the cluster's resources: %s", error)
        return None
    cpus = float(total.get("CPU", 0))
    # A local Ray is given more CPUs than the machine has; see start_ray.
    return {"cpus": min(cpus, local_cpus) if nodes == 1 else cpus, "gpus": float(total.get("GPU", 0))}
