"""A config full of secrets, and one in the environment: what people and language models get to see holds none."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from recsae.cli.main import main
from recsae.config.concepts import EndpointConfig
from recsae.config.recommender import RecommenderConfig
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.labels import asking
from recsae.labels import stage as labelling
from recsae.llm.endpoint import KEY, EndpointPool
from recsae.llm.pool import Request
from recsae.observability import mlflow
from recsae.pipeline.runner import STAGES, Pipeline
from recsae.recommenders import external_files
from recsae.scores import stage as scoring
from recsae.store.filesystem import Folder
from recsae.store.run_store import Attempt, Committed
from tests.concepts.worlds import latents_by_concept, run_stage
from tests.conftest import N_CONCEPTS, Commit
from tests.made_run import commit_all, config_at, serve
from tests.report.concepts_table import hostile_table
from tests.report.made_page import make_report
from tests.scores.fakes import FakePool, knowing
from tests.scores.test_stage import reply, world

SECRET = "hunter22secret"
KEY_OF_ENVIRONMENT = "sk-of-the-environment"
URI = f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/{{}}?region=eu&secret_key={SECRET}"
SECRETS = (SECRET, KEY_OF_ENVIRONMENT, "AKIAIOSFODNN7EXAMPLE")
SECTIONS: dict[str, Any] = {
    "labels": {"endpoint": {"url": f"https://user:{SECRET}@host/v1?api_key={SECRET}", "model": "big"}},
    "mlflow": {"uri": f"https://user:{SECRET}@host"},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, KEY_OF_ENVIRONMENT)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("recsae.cli.command.stop_with_143", lambda: None)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Its store is a folder whose URI holds a secret; so do the names of its data."""
    root = f"{(tmp_path / 'runs').as_uri()}?secret_key={SECRET}"
    return config_at(root, data={"interactions": [URI.format("events.parquet")]}, **SECTIONS)


def holds_none(text: str) -> bool:
    assert text
    return not [secret for secret in SECRETS if secret in text]


def test_the_config_of_these_tests_is_full_of_secrets(config: Config) -> None:
    assert len(re.findall(SECRET, config.model_dump_json())) >= 6


def test_a_report_holds_none(config: Config, tmp_path: Path) -> None:
    page = make_report(tmp_path, hostile_table(), config=config)
    assert "events.parquet" in page and holds_none(page)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> FakePool:
    """Answers in the place of the engines and of the endpoint."""
    found = FakePool(reply)
    monkeypatch.setattr(asking, "EndpointPool", lambda *_: found)
    return found


def test_prompts_and_what_is_kept_of_their_answers_hold_none(
    commit: Commit,
    ingested: Committed,
    planted_config: Config,
    pool: FakePool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sections = {"labels": planted_config.labels.model_dump() | SECTIONS["labels"], "store": {"root": URI.format("")}}
    config = Config.model_validate(planted_config.model_dump() | sections)
    evidence = latents_by_concept(commit, ingested)
    monkeypatch.setattr(pool, "reply", knowing)
    inputs = {"ingest": ingested, "evidence": evidence}
    labels = run_stage(commit, labelling, labelling.label_latents, config, inputs, pool, monkeypatch)
    monkeypatch.setattr(pool, "reply", reply)
    inputs = world(commit, ingested, {latent: ["War", "Sea"] for latent in range(N_CONCEPTS)})
    run_stage(commit, scoring, scoring.score_concepts, config, inputs, pool, monkeypatch)
    assert {request.kind for request in pool.asked} >= {"generate", "loglikelihood"}
    assert all(holds_none("|".join(map(str, request))) for request in pool.asked)
    assert holds_none(json.dumps(labels.metrics))
    assert holds_none(str(labels.read_table("labels.parquet").to_pylist()))


def test_what_an_endpoint_says_of_itself_holds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsae.llm.endpoint.RETRIES", 0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://user:{SECRET}@127.0.0.1:{closed.getsockname()[1]}/v1?api_key={SECRET}"
        with EndpointPool(EndpointConfig(url=url, model="big"), 1) as endpoint, pytest.raises(BadInput) as caught:
            list(endpoint.ask([Request("generate", "x")]))
    assert "labels.endpoint.url = http://127.0.0.1" in str(caught.value) and holds_none(str(caught.value))


def test_params_of_mlflow_hold_none(config: Config) -> None:
    params = mlflow.params(config)
    assert params["labels.endpoint.url"] == "https://host/v1" and "events.parquet" in params["data.interactions"]
    assert holds_none(json.dumps(params))


def test_a_param_that_is_called_a_secret_is_none(tmp_path: Path) -> None:
    foreign = {"factory": "a:b", "weights": "w", "vocabulary": "v", "arguments": {"api_key": SECRET + "x", "size": 3}}
    config = config_at(tmp_path, recommender={"kind": "foreign", "foreign": foreign}, probe={"site": "a.b"})
    params = mlflow.params(config)
    assert params["recommender.foreign.arguments.size"] == "3"
    assert holds_none(json.dumps(params))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_state_of_a_run_holds_none(
    options: list[str],
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = commit_all(config)
    serve(config, made)
    toml = tmp_path / "shop.toml"
    toml.write_text(f"name = 'shop'\n[store]\nroot = '{config.store.root}'\n")
    overrides = [f"data.interactions=['{URI.format('events.parquet')}']", "labels.endpoint.model=big"]
    overrides += [f"labels.endpoint.url={config.labels.endpoint.url}"] if config.labels.endpoint else []
    sets = [part for override in overrides for part in ("--set", override)]
    monkeypatch.setattr(sys, "argv", ["status", "--config", str(toml), *sets, *options])
    main(["status"])
    whole = capsys.readouterr().out
    assert "concepts.parquet" in whole and holds_none(whole)
    Path(made["sae"].data.path, "sae.parquet").unlink()
    main(["status"])
    broken = capsys.readouterr().out
    assert "sae is damaged" in broken and "recsae stage sae " in broken and holds_none(broken)


def test_a_foreign_models_own_config_in_the_store_holds_none(tmp_path: Path) -> None:
    config = RecommenderConfig.model_validate(
        {
            "kind": "foreign",
            "foreign": {
                "factory": "a:b",
                "weights": URI.format("w.safetensors"),
                "vocabulary": URI.format("v.csv"),
                "arguments": {"where": "s3://k:argument@x"},
            },
        }
    )
    folder = Folder(str(tmp_path))
    external_files.save(folder, external_files.ExternalFiles(b"x", torch.zeros(1)), config, 1, 1)
    kept = folder.read_json("config.json")
    assert kept["foreign"]["weights"] == "s3://bucket/w.safetensors?region=eu"
    assert kept["foreign"]["arguments"] == {"where": "s3://k:argument@x"}, "the factory is given them"
    assert holds_none((tmp_path / "config.json").read_text())


@pytest.fixture
def ran(config: Config, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Two stages through the pipeline, of a config all of which is theirs."""

    def stage(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> dict[str, Any]:
        out.data.put("x", b"x")
        return {"rows": 1}

    for name in ("ingest", "recommender"):
        whole = dataclasses.replace(
            STAGES[name], run=stage, config=("data", "labels"), content=lambda config: {"file": "checksum"}
        )
        monkeypatch.setitem(STAGES, name, whole)
    pipeline = Pipeline(config)
    for name in ("ingest", "recommender"):
        pipeline.run(name)
    return pipeline


def test_what_lies_in_the_store_holds_none(ran: Pipeline) -> None:
    files = [path for path in Path(ran.store.folder.path).rglob("*") if path.is_file()]
    assert any(path.name == "_manifest.json" for path in files)
    assert all(holds_none(path.read_text() or "empty") for path in files)
