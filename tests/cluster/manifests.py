"""The manifests as they are read: documents by file, and the pods and Ray clusters within them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "cluster"
MANIFESTS = ("base.yaml", "raycluster.yaml", "rayjob.yaml", "raycronjob.yaml", "cronjob.yaml")
RAY_UP = ("aws.yaml", "gcp.yaml")
Node = Any
Files = dict[str, list[Node]]


def read() -> Files:
    return {name: list(yaml.safe_load_all((FOLDER / name).read_text())) for name in MANIFESTS}


class Pod(NamedTuple):
    where: str
    template: Node
    role: str
    """`head`, `worker` or `submitter`."""

    @property
    def spec(self) -> Node:
        return self.template["spec"]


def document(files: Files, kind: str) -> Node:
    return next(one for documents in files.values() for one in documents if one["kind"] == kind)


def job_specs(files: Files) -> Iterator[tuple[str, Node]]:
    yield "RayJob", document(files, "RayJob")["spec"]
    yield "RayCronJob", document(files, "RayCronJob")["spec"]["jobTemplate"]


def cluster_specs(files: Files) -> Iterator[tuple[str, Node]]:
    yield "RayCluster", document(files, "RayCluster")["spec"]
    for kind, spec in job_specs(files):
        yield kind, spec["rayClusterSpec"]


def pods(files: Files) -> Iterator[Pod]:
    for kind, spec in cluster_specs(files):
        yield Pod(f"{kind} head", spec["headGroupSpec"]["template"], "head")
        for group in spec["workerGroupSpecs"]:
            yield Pod(f"{kind} {group['groupName']}", group["template"], "worker")
    for kind, spec in job_specs(files):
        yield Pod(f"{kind} submitter", spec["submitterPodTemplate"], "submitter")
    yield Pod("CronJob", document(files, "CronJob")["spec"]["jobTemplate"]["spec"]["template"], "submitter")


def commands(files: Files) -> Iterator[tuple[str, list[str]]]:
    """The commands that run recsae, in words."""
    for kind, spec in job_specs(files):
        yield kind, spec["entrypoint"].split()
    for container in document(files, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]:
        yield "CronJob", container["command"]


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every value in a document, with its path."""
    yield path, node
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in below:
        yield from walk(value, f"{path}.{key}")
