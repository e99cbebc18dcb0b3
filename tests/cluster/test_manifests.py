"""The manifests hold what they promise, and what checks them complains of each way to break them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import pytest
import yaml

from tests.cluster import checks
from tests.cluster.manifests import FOLDER, MANIFESTS, RAY_UP, Files, Node, document, read

FILES: Files = yaml.safe_load(yaml.safe_dump(read()))


def cluster(files: Files) -> Node:
    return document(files, "RayCluster")["spec"]


def head(files: Files) -> Node:
    return cluster(files)["headGroupSpec"]["template"]["spec"]["containers"][0]


def worker(files: Files) -> Node:
    return cluster(files)["workerGroupSpecs"][0]["template"]


def submit(files: Files) -> Node:
    return document(files, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def put(find: Callable[[Files], Node], key: str, value: object) -> Callable[[Files], None]:
    """The value at `a/0/b` below what `find` finds becomes another; None takes the key away."""

    def broken(files: Files) -> None:
        node = find(files)
        *path, last = (int(part) if part.isdigit() else part for part in key.split("/"))
        for part in path:
            node = node[part]
        if value is None:
            del node[last]
        else:
            node[last] = value

    return broken


def spec(kind: str) -> Callable[[Files], Node]:
    return lambda files: document(files, kind)["spec"]


MUTATIONS: dict[Callable[[Files], Iterable[str]], dict[str, Callable[[Files], None]]] = {
    checks.schemas: {
        "a key that Kubernetes does not have": put(head, "imagePulPolicy", "Always"),
        "a quantity of the wrong type": put(submit, "terminationGracePeriodSeconds", "long"),
        "a key that KubeRay does not have": put(cluster, "enableAutoscaling", True),
        "a replica count in words": put(cluster, "workerGroupSpecs/0/maxReplicas", "many"),
        "no schedule": put(spec("RayCronJob"), "schedule", None),
        "a concurrency policy that RayCronJob does not have": put(spec("RayCronJob"), "concurrencyPolicy", "Forbid"),
    },
    checks.entry_points: {
        "an entry point that is none": put(spec("RayJob"), "entrypoint", "python -m jobs.nigthly --config x"),
        "a config that is not there": put(
            spec("RayJob"), "entrypoint", "python -m jobs.nightly --config jobs/configs/none.toml"
        ),
        "a config whose store is on one node": put(
            spec("RayJob"), "entrypoint", "python -m jobs.nightly --config jobs/configs/demo.toml"
        ),
        "a label that no group has": put(cluster, "workerGroupSpecs/0/groupName", "date"),
    },
    checks.references: {
        "an account that is not there": put(submit, "serviceAccountName", "default"),
        "a secret that nobody makes": put(cluster, "authOptions/secretName", "token"),
        "a key that the secret lacks": put(submit, "containers/0/env/2/valueFrom/secretKeyRef/key", "token"),
    },
    checks.secrets: {
        "a token written down": put(submit, "containers/0/env/2", {"name": "RAY_AUTH_TOKEN", "value": "abc"}),
        "a secret among the manifests": lambda files: files["base.yaml"].append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "x", "namespace": "recsae"},
                "stringData": {"k": "v"},
            }
        ),
    },
    checks.tokens: {
        "no token": put(cluster, "authOptions/mode", "disabled"),
        "no token of the submitter": put(submit, "containers/0/env/1/value", "disabled"),
    },
    checks.exposure: {
        "a port of the host": put(head, "ports/1/hostPort", 8265),
        "a load balancer": put(cluster, "headGroupSpec/serviceType", "LoadBalancer"),
        "an ingress": put(cluster, "headGroupSpec/enableIngress", True),
        "a policy that lets all in": put(spec("NetworkPolicy"), "ingress/0/from", [{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
        "a pod outside the policy": put(worker, "metadata/labels", {}),
    },
    checks.containment: {
        "a pod that runs as root": put(submit, "securityContext/runAsNonRoot", False),
        "a container with privileges": put(head, "securityContext/allowPrivilegeEscalation", True),
        "a worker that may talk to Kubernetes": put(worker, "spec/automountServiceAccountToken", True),
        "the latest image": put(head, "image", "registry.example/recsae:latest"),
        "an image without a tag": put(submit, "containers/0/image", "registry.example/recsae"),
        "no resources": put(submit, "containers/0/resources", {}),
    },
    checks.ray_nodes: {
        "work on the head": put(cluster, "headGroupSpec/rayStartParams/num-cpus", "2"),
        "shared memory on disk": put(worker, "spec/volumes/0/emptyDir", {}),
        "no probe": put(head, "readinessProbe", None),
        "no draining": put(head, "lifecycle", None),
        "a reason to drain that Ray does not know": put(
            head,
            "lifecycle/preStop/exec/command",
            ["bash", "-c", "ray drain-node --reason BECAUSE --reason-message x; sleep 1"],
        ),
        "a head on spot": put(
            cluster,
            "headGroupSpec/template/spec/tolerations",
            [{"key": "cloud.google.com/gke-spot", "operator": "Exists", "effect": "NoSchedule"}],
        ),
        "a worker that no spot node takes": put(worker, "spec/tolerations", []),
        "another Ray": put(cluster, "rayVersion", "2.59.0"),
        "no autoscaling": put(cluster, "enableInTreeAutoscaling", False),
    },
    checks.agreement: {
        "clusters that drift apart": put(cluster, "workerGroupSpecs/1/maxReplicas", 9),
        "jobs that drift apart": put(spec("RayJob"), "backoffLimit", 5),
        "nights that overlap": put(spec("CronJob"), "concurrencyPolicy", "Allow"),
        "nights past midnight": put(spec("CronJob"), "schedule", "0 22 * * *"),
    },
}


def test_the_manifests_hold() -> None:
    assert [complaint for check in checks.CHECKS for complaint in check(FILES)] == []


@pytest.mark.parametrize(
    ("check", "mutation"),
    [pytest.param(check, one, id=name) for check, ways in MUTATIONS.items() for name, one in ways.items()],
)
def test_what_is_broken_is_seen(check: Callable[[Files], Iterable[str]], mutation: Callable[[Files], None]) -> None:
    files = copy.deepcopy(FILES)
    mutation(files)
    assert files != FILES, "the mutation changed nothing"
    assert list(check(files)), f"{check.__name__} does not see it"


def test_every_check_can_fail() -> None:
    assert MUTATIONS.keys() == set(checks.CHECKS)


def test_every_file_is_checked() -> None:
    assert {path.name for path in FOLDER.glob("*.y*ml")} == {*MANIFESTS, *RAY_UP}
