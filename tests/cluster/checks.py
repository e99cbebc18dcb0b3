"""What must hold of the manifests: each check tells its complaints, none where all is well.

Checks work on what was read, so that a test can break a copy and see the complaint.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache

import jsonschema
import kubernetes_validate
import ray

from recsae.config.loader import load
from tests.cluster.kuberay import SCHEMAS
from tests.cluster.manifests import (
    FOLDER,
    REPOSITORY,
    Files,
    Node,
    cluster_specs,
    commands,
    document,
    job_specs,
    pods,
    walk,
)

KUBERNETES = ("1.31", "1.37")
PART = {"app.kubernetes.io/part-of": "recsae"}
GROUPS = {"data", "training", "labelling"}


def schemas(files: Files) -> Iterator[str]:
    """Kubernetes' own schemas for its kinds and for all pods; strict ones of the operator's kinds."""
    for documents in files.values():
        for one in documents:
            if one["apiVersion"] == "ray.io/v1":
                for error in jsonschema.Draft202012Validator(SCHEMAS[one["kind"]]).iter_errors(one):
                    yield f"{one['kind']} {error.json_path}: {error.message}"
            else:
                yield from _kubernetes(one, one["kind"])
    for pod in pods(files):
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": pod.template.get("metadata", {}), "spec": pod.spec}
        yield from _kubernetes(whole, pod.where)


def _kubernetes(one: Node, where: str) -> Iterator[str]:
    for version in KUBERNETES:
        if refusal := _refusal(json.dumps(one), version):
            yield f"{where} in Kubernetes {version}: {refusal}"


@cache
def _refusal(document: str, version: str) -> str | None:
    """What is wrong with a document by that version's schema, which is read again at every call and is large."""
    try:
        kubernetes_validate.validate(json.loads(document), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return None


def entry_points(files: Files) -> Iterator[str]:
    """Every command is a job of ours with a config that is there and is read."""
    for where, words in commands(files):
        if words[:2] != ["python", "-m"] or not (REPOSITORY / (words[2].replace(".", "/") + ".py")).is_file():
            yield f"{where}: {shlex.join(words)} is no entry point"
            continue
        config = words[words.index("--config") + 1]
        if not (REPOSITORY / config).is_file():
            yield f"{where}: there is no {config}"
            continue
        asked = load(REPOSITORY / config)
        if "://" not in asked.store.root:
            yield f"{where}: {config} keeps its store on one node"
        groups = {group["groupName"] for group in document(files, "RayCluster")["spec"]["workerGroupSpecs"]}
        for entrypoint in (asked.submit.entrypoint, *asked.submit.stages.values()):
            if entrypoint.labels.get("recsae/group", "data") not in groups or len(entrypoint.labels) > 1:
                yield f"{where}: {config} asks for nodes that no group has: {entrypoint.labels}"


def references(files: Files) -> Iterator[str]:
    """Secrets are those that README.md makes, accounts those of base.yaml."""
    made = {
        (found[1], key)
        for found in re.finditer(
            r"create secret generic (\S+)((?: \\?\s*--from-\S+)+)", (FOLDER / "README.md").read_text()
        )
        for key in re.findall(r"--from-(?:literal|file)=(\w+)=", found[2])
    }
    accounts = {one["metadata"]["name"] for one in files["base.yaml"] if one["kind"] == "ServiceAccount"}
    for name, documents in files.items():
        for path, value in walk(documents):
            if path.endswith(".secretKeyRef") and (value["name"], value["key"]) not in made:
                yield f"{name}{path}: README.md makes no secret {value['name']} with {value['key']}"
            if path.endswith(".authOptions.secretName") and (value, "auth_token") not in made:
                yield f"{name}{path}: README.md makes no secret {value}"
            if path.endswith(".serviceAccountName") and value not in accounts:
                yield f"{name}{path}: base.yaml has no account {value}"


def secrets(files: Files) -> Iterator[str]:
    """Nothing secret is written down; what is secret comes by reference."""
    for name, documents in files.items():
        for path, value in walk(documents):
            if isinstance(value, dict) and value.get("kind") == "Secret":
                yield f"{name}{path}: a secret"
            named = isinstance(value, dict) and re.search(r"KEY|TOKEN|SECRET|PASSWORD", str(value.get("name", "")))
            if named and "value" in value:
                yield f"{name}{path}: the value of {value['name']} is written down"
            if isinstance(value, str) and re.search(r"AKIA[0-9A-Z]{12}|Bearer |BEGIN .*KEY|[0-9a-f]{40}", value):
                yield f"{name}{path}: looks like a secret"


def tokens(files: Files) -> Iterator[str]:
    for where, spec in cluster_specs(files):
        if spec.get("authOptions", {}).get("mode") != "token" or "secretName" not in spec["authOptions"]:
            yield f"{where}: asks for no token"
    submit = document(files, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    if {"name": "RAY_AUTH_MODE", "value": "token"} not in submit["env"]:
        yield "CronJob: brings no token"


def exposure(files: Files) -> Iterator[str]:
    """Nothing is reached from outside, and the network policy is about every pod."""
    for name, documents in files.items():
        for path, value in walk(documents):
            if path.endswith((".hostPort", ".hostNetwork", ".enableIngress", ".headService")) and value:
                yield f"{name}{path}: opens a port"
            if value in ("LoadBalancer", "NodePort") or (isinstance(value, dict) and value.get("kind") == "Ingress"):
                yield f"{name}{path}: opens a port"
    for where, spec in cluster_specs(files):
        if spec["headGroupSpec"].get("serviceType") != "ClusterIP":
            yield f"{where}: the head's service is not ClusterIP"
    policy = document(files, "NetworkPolicy")["spec"]
    if policy["podSelector"]["matchLabels"] != PART or set(policy["policyTypes"]) != {"Ingress", "Egress"}:
        yield "NetworkPolicy: is not about all pods"
    for rule in policy["ingress"]:
        for peer in rule.get("from", [{}]):
            if "podSelector" not in peer and ("namespaceSelector" not in peer or not rule.get("ports")):
                yield "NetworkPolicy: lets in whoever comes"
    for pod in pods(files):
        if not PART.items() <= pod.template.get("metadata", {}).get("labels", {}).items():
            yield f"{pod.where}: lies outside the network policy"


def containment(files: Files) -> Iterator[str]:
    """Images are pinned; pods are nobody in particular, say what they need, and have no rights in Kubernetes."""
    for pod in pods(files):
        if not pod.spec.get("securityContext", {}).get("runAsNonRoot"):
            yield f"{pod.where}: runs as root"
        if pod.role != "head" and pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.where}: carries a token of Kubernetes"
        for container in pod.spec["containers"]:
            if not re.fullmatch(r"\S+/\S+:(?!latest|nightly)\S*\d\S*", container["image"]):
                yield f"{pod.where}: image {container['image']} is not pinned"
            context = container.get("securityContext", {})
            if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pod.where}: may become more than it is"
            resources = container.get("resources", {})
            if any(not {"cpu", "memory"} <= resources.get(kind, {}).keys() for kind in ("requests", "limits")):
                yield f"{pod.where}: does not say what it needs"


def ray_nodes(files: Files) -> Iterator[str]:
    """What a node of Ray needs in a pod: shared memory, probes, and to be drained before it goes."""
    for pod in pods(files):
        if pod.role == "submitter":
            continue
        (container,) = pod.spec["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/dev/shm"}
        if not any(
            volume["name"] in mounted and volume.get("emptyDir", {}).get("medium") == "Memory"
            for volume in pod.spec["volumes"]
        ):
            yield f"{pod.where}: has no shared memory"
        if "readinessProbe" not in container or "livenessProbe" not in container:
            yield f"{pod.where}: has no probes"
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [""])[-1]
        yield from (f"{pod.where}: preStop {complaint}" for complaint in _drain(hook))
        tolerated = {toleration["key"] for toleration in pod.spec.get("tolerations", [])}
        if (pod.role == "worker") != ("cloud.google.com/gke-spot" in tolerated):
            yield f"{pod.where}: workers are for spot nodes, heads are not"
        if "nvidia.com/gpu" in container["resources"]["limits"] and not container["image"].endswith("-gpu"):
            yield f"{pod.where}: a GPU and an image without CUDA"
    for where, spec in cluster_specs(files):
        if spec["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
            yield f"{where}: work may land on the head"
        if spec["rayVersion"] != ray.__version__:
            yield f"{where}: Ray {spec['rayVersion']}, and {ray.__version__} is installed"
        named = {group["groupName"]: group.get("labels") for group in spec["workerGroupSpecs"]}
        if named != {group: {"recsae/group": group} for group in GROUPS}:
            yield f"{where}: groups are {named}"
        if not spec.get("enableInTreeAutoscaling"):
            yield f"{where}: does not scale"


def _drain(hook: str) -> Iterator[str]:
    """Whether the command line is one that this Ray takes."""
    found = re.search(r"ray drain-node (.*?); sleep", re.sub(r'"\$\(.*\)"', "0" * 56, hook))
    if not found:
        yield "does not drain the node and wait"
        return
    from ray.scripts.scripts import drain_node  # brings a web server, so only who asks waits for it

    try:
        drain_node.make_context("drain-node", shlex.split(found[1]))
    except Exception as error:
        yield f"is not what Ray takes: {error}"


def agreement(files: Files) -> Iterator[str]:
    """The three clusters are one, and scheduled nights are kept apart."""
    (_, standing), *others = cluster_specs(files)
    yield from (f"{where}: its cluster is not raycluster.yaml's" for where, spec in others if spec != standing)
    (_, once), (_, nightly) = job_specs(files)
    if once != nightly:
        yield "RayCronJob: its job is not rayjob.yaml's"
    cron = document(files, "CronJob")["spec"]
    if (
        cron["concurrencyPolicy"] != "Forbid"
        or cron["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] != "Never"
    ):
        yield "CronJob: nights may overlap"
    minute, hour = map(int, cron["schedule"].split()[:2])
    if (
        cron["timeZone"] != "Etc/UTC"
        or hour * 3600 + minute * 60 + cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] >= 86_400
    ):
        yield "CronJob: a pod may start after midnight in UTC and mean the next night"
    namespaces = {one["metadata"].get("namespace", "recsae") for documents in files.values() for one in documents}
    if namespaces != {document(files, "Namespace")["metadata"]["name"]}:
        yield f"namespaces {namespaces}"


CHECKS = (
    schemas,
    entry_points,
    references,
    secrets,
    tokens,
    exposure,
    containment,
    ray_nodes,
    agreement,
)
