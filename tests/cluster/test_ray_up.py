"""The files for `ray up` are what Ray's launcher takes, with the groups of the manifests, closed ports and a token."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.manifests import FOLDER, RAY_UP, document, read

CLUSTERS: dict[str, dict[str, Any]] = {name: yaml.safe_load((FOLDER / name).read_text()) for name in RAY_UP}


def accepted(config: dict[str, Any]) -> dict[str, Any]:
    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_takes_it_and_adds_no_commands_of_its_own(name: str) -> None:
    prepared = accepted(CLUSTERS[name])
    installs = [command for kind in ("setup_commands", "worker_setup_commands") for command in prepared[kind]]
    assert all("ray" not in command for command in installs), "the defaults would install another Ray"
    assert prepared["head_node_type"] == "head"


@pytest.mark.parametrize("name", RAY_UP)
@pytest.mark.parametrize(
    "broken",
    [
        {"worker_nodes": {"InstanceType": "x"}},
        {"head_node_type": "none"},
        {"max_workers": "many"},
        {"available_node_types": {"head": {"node_config": {}}}},
    ],
)
def test_what_it_does_not_take_is_seen(name: str, broken: dict[str, Any]) -> None:
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        accepted({**CLUSTERS[name], **broken})


@pytest.mark.parametrize("name", RAY_UP)
def test_the_groups_are_those_of_kubernetes(name: str) -> None:
    types = dict(CLUSTERS[name]["available_node_types"])
    groups = {group["groupName"]: group for group in document(read(), "RayCluster")["spec"]["workerGroupSpecs"]}
    head = types.pop("head")
    assert head["resources"] == {"CPU": 0} and head["labels"] == {"recsae/group": "head"}
    assert types.keys() == groups.keys()
    for group, node in types.items():
        requests = groups[group]["template"]["spec"]["containers"][0]["resources"]["requests"]
        gpus = int(requests.get("nvidia.com/gpu", 0))
        assert node["labels"] == groups[group]["labels"]
        assert node["max_workers"] == groups[group]["maxReplicas"] and node["min_workers"] == 0
        assert node["resources"] == {"CPU": int(requests["cpu"]), **({"GPU": gpus} if gpus else {})}
        image = node.get("docker", {}).get("worker_image", CLUSTERS[name]["docker"]["image"])
        assert image == groups[group]["template"]["spec"]["containers"][0]["image"]


@pytest.mark.parametrize("name", RAY_UP)
def test_workers_are_spot_and_the_head_is_not(name: str) -> None:
    for group, node in CLUSTERS[name]["available_node_types"].items():
        config = node["node_config"]
        market = config.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        model = any(one.get("provisioningModel") == "SPOT" for one in config.get("scheduling", []))
        assert (market or model) == (group != "head")


@pytest.mark.parametrize("name", RAY_UP)
def test_the_dashboard_stays_on_loopback_and_asks_for_a_token(name: str) -> None:
    config = CLUSTERS[name]
    for kind in ("head", "worker"):
        start = config[f"{kind}_start_ray_commands"][-1]
        assert "export RAY_AUTH_MODE=token" in start
        assert "--dashboard-host=0.0.0.0" not in start
        assert ("--dashboard-host=127.0.0.1" in start) == (kind == "head")
    assert config["file_mounts"] == {"/home/recsae/.ray/auth_token": "~/.ray/auth_token"}
