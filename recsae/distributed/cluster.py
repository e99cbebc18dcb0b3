"""How many CPUs and GPUs stand reserved while a stage runs, for its manifest and what it costs.

It knows Ray and this machine, and neither stages nor prices. What a stage used of them it does not know.
"""

from __future__ import annotations

import logging
import os

import ray

log = logging.getLogger(__name__)


def reserved() -> dict[str, float] | None:
    """`cpus` and `gpus` that the cluster has now; those of this machine where Ray was not started here.

    None where the cluster does not answer: a stage that is done is not lost for it.
    """
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
    # Embedded Ray is told of more CPUs than there are, so that actors never wait for one: see recsae/cli/command.py.
    return {"cpus": min(cpus, own) if nodes == 1 else cpus, "gpus": float(found.get("GPU", 0))}
