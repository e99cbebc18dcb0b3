"""Starts or joins Ray, and says how many CPUs and GPUs stand reserved while a stage runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from recsae.config.schema import Config

log = logging.getLogger(__name__)

if not os.environ.get("RAY_ADDRESS"):
    # Ray that is started here listens on loopback alone, also for its object store and its agents. Ray reads this when
    # it is imported, so this module comes first.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def start_ray(config: Config) -> None:
    """Join the cluster at RAY_ADDRESS, or start Ray in this process's own session; nothing where it runs already.

    Embedded Ray gets more logical CPUs than actors: stages hold theirs while Ray Data needs one to feed them. Ray sets
    a handler of SIGTERM of its own.
    """
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # or every line of a Train worker comes twice
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address=os.environ["RAY_ADDRESS"], logging_level=logging.ERROR)
        return
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # nobody takes this machine away
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")  # checkpoints wait for it, 2 s otherwise
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
    """The hook of each worker process. A closure, so that Ray pickles it by value and the worker imports nothing."""

    def quiet() -> None:
        """Without a dashboard Ray Train's cleaner warns every second that it cannot ask it, or dies of asking."""
        import threading

        logging.getLogger("ray.train.v2._internal.execution.controller").setLevel(logging.ERROR)
        usual = threading.excepthook
        threading.excepthook = lambda ended: (
            None if ended.thread and ended.thread.name == "PlacementGroupCleanerMonitor" else usual(ended)
        )

    return quiet


def reserved() -> dict[str, float] | None:
    """`cpus` and `gpus` that the cluster has now; those of this machine where Ray was not started here.

    None where the cluster does not answer: a finished stage is not lost for it.
    """
    import ray

    own = float(os.cpu_count() or 1)
    if not ray.is_initialized():
        return {"cpus": own, "gpus": 0.0}
    try:
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]
    except Exception as error:
        log.warning("Ray does not say what the cluster has: %s", error)
        return None
    cpus = float(found.get("CPU", 0))
    # Embedded Ray is told of more CPUs than there are, so that actors never wait for one: see start_ray.
    return {"cpus": min(cpus, own) if nodes == 1 else cpus, "gpus": float(found.get("GPU", 0))}
