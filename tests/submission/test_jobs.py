"""What is asked of Ray for one stage: ids, the command, resources, labels."""

from __future__ import annotations

import shlex

import pytest

from recsae.config.schema import Config
from recsae.submission.jobs import stage_job

NIGHT = "2026-11-25"


def config(**more: object) -> Config:
    return Config.model_validate({"name": "demo", **more})


def test_ids_count_tries_and_are_known_again() -> None:
    job = stage_job(config(), "labels", NIGHT, "demo.toml", [])
    assert [job.submission_id(number) for number in (1, 2)] == [
        "recsae-demo-2026-11-25-labels",
        "recsae-demo-2026-11-25-labels-2",
    ]
    assert [job.number(job.submission_id(number)) for number in (1, 2, 13)] == [1, 2, 13]
    for other in ("recsae-demo-2026-11-25-label", "recsae-demo-2026-11-25-labels-x", "x", "", "recsae-demo-2026-11-24"):
        assert job.number(other) is None


def test_the_command_holds_config_and_overrides_whatever_is_in_them() -> None:
    overrides = ["sae.k=4", "data.columns.user_id='it''s; rm -rf $HOME'"]
    job = stage_job(config(submit={"python": "/opt/a b/python"}), "sae", NIGHT, "my runs/x.toml", overrides)
    assert shlex.split(job.command) == [
        *("/opt/a b/python", "-m", "jobs.sae", "--config", "my runs/x.toml"),
        *("--set", overrides[0], "--set", overrides[1]),
    ]


def test_a_stage_asks_for_its_own_resources_and_others_for_the_default() -> None:
    submit = {
        "entrypoint": {"cpus": 2},
        "stages": {
            "labels": {
                "gpus": 1,
                "memory_gb": 1.5,
                "resources": {"disk": 2},
                "labels": {"recsae/group": "labelling"},
            }
        },
    }
    labels = stage_job(config(submit=submit), "labels", NIGHT, "x", []).request(2)
    assert labels["entrypoint_num_cpus"] == 1 and labels["entrypoint_num_gpus"] == 1
    assert labels["entrypoint_memory"] == 1.5 * 2**30
    assert labels["entrypoint_resources"] == {"disk": 2} and isinstance(labels["entrypoint_resources"], dict)
    assert labels["entrypoint_label_selector"] == {"recsae/group": "labelling"}
    assert labels["submission_id"].endswith("-labels-2") and labels["runtime_env"] == {"working_dir": "."}
    assert labels["metadata"].keys() == {"run", "night", "stage", "asked"}
    ingest = stage_job(config(submit=submit), "ingest", NIGHT, "x", []).request(1)
    assert ingest["entrypoint_num_cpus"] == 2 and ingest["entrypoint_num_gpus"] is None


@pytest.mark.parametrize(
    ("changed", "same"),
    [({"seed": 1}, False), ({"store": {"root": "/x"}}, False), ({"resources": {"train_workers": 2}}, True)],
)
def test_another_config_asks_for_something_else_and_another_width_does_not(
    changed: dict[str, object], same: bool
) -> None:
    plain, other = (stage_job(one, "sae", NIGHT, "x", []) for one in (config(), config(**changed)))
    assert (plain.config_hash == other.config_hash) is same
