"""The fields of KubeRay 1.7's RayCluster, RayJob and RayCronJob that manifests may use, as strict JSON schemas.

Written from the reference of ray.io/v1; a key that is not here is refused, also where the operator would take it. Pod
templates are checked elsewhere, against Kubernetes' own schemas.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
POD: Schema = {"type": "object", "required": ["spec"]}
ANY: Schema = {"type": "object"}


def strict(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


AUTOSCALER = strict(
    [],
    version={"enum": ["v1", "v2"]},
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    idleTimeoutSeconds=COUNT,
    image=TEXT,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    resources=strict([], requests=ANY, limits=ANY),
    securityContext=ANY,
    env={"type": "array"},
    envFrom={"type": "array"},
    volumeMounts={"type": "array"},
)
HEAD = strict(
    ["template"],
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    headService=ANY,
    enableIngress=FLAG,
    resources=TEXTS,
    labels=TEXTS,
    rayStartParams=TEXTS,
    template=POD,
)
GROUP = strict(
    ["groupName", "minReplicas", "maxReplicas", "template"],
    groupName={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
    suspend=FLAG,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    priority={"type": "integer"},
    resources=TEXTS,
    labels=TEXTS,
    rayStartParams=TEXTS,
    numOfHosts={"type": "integer", "minimum": 1},
    template=POD,
)
CLUSTER = strict(
    ["headGroupSpec"],
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=AUTOSCALER,
    authOptions=strict([], mode={"enum": ["token", "disabled"]}, secretName=TEXT, enableK8sTokenAuth=FLAG),
    suspend=FLAG,
    headServiceAnnotations=TEXTS,
    gcsFaultToleranceOptions=ANY,
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": GROUP},
)
JOB = strict(
    ["entrypoint"],
    entrypoint=TEXT,
    rayClusterSpec=CLUSTER,
    clusterSelector=TEXTS,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate=POD,
    submitterConfig=strict([], backoffLimit=COUNT),
    metadata=TEXTS,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    entrypointNumCpus={"type": "number", "minimum": 0},
    entrypointNumGpus={"type": "number", "minimum": 0},
    entrypointResources=TEXT,
    backoffLimit=COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    suspend=FLAG,
)
CRON = strict(
    ["schedule", "jobTemplate"],
    schedule={"type": "string", "pattern": r"^(\S+ ){4}\S+$"},
    timeZone=TEXT,
    suspend=FLAG,
    jobTemplate=JOB,
)


def _whole(kind: str, spec: Schema) -> Schema:
    named = {"anyOf": [{"required": ["name"]}, {"required": ["generateName"]}]}
    return strict(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata={"type": "object", "required": ["namespace"], **named},
        spec=spec,
    )


SCHEMAS = {kind: _whole(kind, spec) for kind, spec in (("RayCluster", CLUSTER), ("RayJob", JOB), ("RayCronJob", CRON))}
