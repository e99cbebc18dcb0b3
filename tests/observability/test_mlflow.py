"""A night in MLflow: logged once, without secrets, and an unreachable server costs one warning."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.observability import mlflow
from recsae.pipeline.stages import STAGES
from recsae.store.run_store import Committed
from tests.made_run import commit_all, config_at

NIGHT = "20261125T030000-000000001Z"
needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs the extra mlflow")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """With a store of MLflow's own in a folder, which MLflow wants to be asked for twice."""
    for name, value in {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    uri = (tmp_path / "mlflow").as_uri()
    return config_at(tmp_path / "runs", mlflow={"uri": uri, "experiment": "shops"}, sae={"k": 4})


def runs(config: Config) -> tuple[Any, list[Any]]:
    from mlflow import MlflowClient

    assert config.mlflow is not None
    client = MlflowClient(tracking_uri=config.mlflow.uri)
    experiment = client.get_experiment_by_name("shops")
    return client, list(client.search_runs([experiment.experiment_id])) if experiment else []


@needs_mlflow
def test_a_night_is_logged_with_all_that_came_of_it(config: Config, tmp_path: Path) -> None:
    made = commit_all(config)
    mlflow.check(config)
    mlflow.log_night(config, NIGHT, made)
    client, (run,) = runs(config)
    assert run.info.status == "FINISHED"
    assert run.data.params["sae.k"] == "4" and run.data.params["store.root"] == str(tmp_path / "runs")
    assert not any(key.startswith("mlflow.") for key in run.data.params)
    assert run.data.metrics["sae.fvu"] == 0.05 and run.data.metrics["recommender.test.ndcg_10"] == 0.25
    assert run.data.metrics["ingest.seconds.read"] == 0.1
    assert run.data.metrics["seconds.sae"] == 1.5 and run.data.metrics["rows.sae"] == 4
    assert run.data.tags["recsae.night"] == NIGHT and run.data.tags["recsae.run"] == "shop"
    assert {run.data.tags[f"recsae.fingerprint.{name}"] for name in STAGES} == {f"{name}-1" for name in STAGES}
    artefacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert artefacts == {"concepts.parquet", "report.html", "concepts-000.html"}
    report = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert Path(report).read_bytes() == b"<html></html>"


@needs_mlflow
def test_a_night_is_logged_once(config: Config) -> None:
    made = commit_all(config)
    for night in (NIGHT, NIGHT, "another"):
        mlflow.log_night(config, night, made)
    assert sorted(run.data.tags["recsae.night"] for run in runs(config)[1]) == sorted([NIGHT, "another"])


@needs_mlflow
def test_what_broke_off_is_marked_and_logged_again(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    made = commit_all(config)
    report = Path(made["report"].data.path, "report.html")
    report.unlink()
    mlflow.log_night(config, NIGHT, made)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "is not logged" in warning.getMessage()
    report.write_bytes(b"<html></html>")
    mlflow.log_night(config, NIGHT, made)
    assert sorted(run.info.status for run in runs(config)[1]) == ["FAILED", "FINISHED"]


@needs_mlflow
def test_a_server_that_is_down_is_one_warning_without_its_password(
    tmp_path: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://user:hunter22@127.0.0.1:{closed.getsockname()[1]}"
        down = config_at(tmp_path / "runs", mlflow={"uri": uri})
        mlflow.check(down)
        mlflow.log_night(down, NIGHT, commit_all(config))
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= 30]
    assert "is not logged at http://127.0.0.1" in warning and "hunter22" not in caplog.text


@needs_mlflow
def test_an_invalid_uri_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"mlflow\.uri = nowhere://x cannot be used") as caught:
        mlflow.check(config_at(tmp_path, mlflow={"uri": "nowhere://k:hunter22@x"}))
    assert "\n" not in str(caught.value) and "hunter22" not in str(caught.value)


def test_a_missing_package_is_reported_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'recsae\[mlflow\]'"):
        mlflow.check(config_at(tmp_path, mlflow={"uri": "http://127.0.0.1"}))


def test_without_the_section_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "_client", lambda section: pytest.fail("off"))
    config = config_at(tmp_path)
    made: Mapping[str, Committed] = {}
    mlflow.check(config)
    mlflow.log_night(config, NIGHT, made)


def test_where_a_night_is_logged_is_in_no_fingerprint() -> None:
    assert not any("mlflow" in stage.config for stage in STAGES.values())
