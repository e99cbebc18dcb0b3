"""The config that a command works on, and the demo where none is named."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from recsae.cli.run_config import DEMO, RunConfig
from recsae.errors import BadInput
from tests.cli.asking import Asker

REPOSITORY = Path(__file__).parents[2]


def test_the_packaged_demo_is_that_of_make_demo() -> None:
    packaged, made = (tomllib.loads(path.read_text()) for path in (DEMO, REPOSITORY / "jobs/configs/demo.toml"))
    for name in ("interactions", "items", "tags"):
        (path,) = made["data"].pop(name)
        assert (REPOSITORY / path).samefile(DEMO.with_name(f"{name}.parquet"))
    assert packaged == made


def test_without_a_config_it_is_the_demo_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = RunConfig(None, ["sae.k=4"]).load()
    assert config.name == "demo" and config.sae.k == 4 and config.data.columns.weight == "weight"
    assert all(Path(path).is_file() for path in (*config.data.interactions, *config.data.items, *config.data.tags))
    said = capsys.readouterr()
    assert said.err == "no --config: the demo on the built-in MovieLens data, run demo in runs\n" and said.out == ""


def test_the_demos_data_can_be_overridden() -> None:
    assert RunConfig(None, ["data.items=['mine.parquet']"]).load().data.items == ("mine.parquet",)


def test_options_stand_as_they_were_given() -> None:
    assert RunConfig(None).options == []
    assert RunConfig("a.toml", ["x=1", "y=2"]).options == ["--config", "a.toml", "--set", "x=1", "--set", "y=2"]


def test_a_submitted_job_refuses_a_relative_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(BadInput, match=r"store.root = runs is relative"):
        RunConfig(None).load()


def test_the_status_of_the_demo_names_the_command_without_a_config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Asker("status", monkeypatch, capsys)
    told = json.loads(ask("--json", "--set", f"store.root={tmp_path}"))
    assert told["next"] == f"recsae run --set store.root={tmp_path}"
