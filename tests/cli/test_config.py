"""The command `config`: a config checked, every key with its value and doc line, the schema for editors."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from recsae.config.docs import describe, json_schema
from recsae.config.loader import load
from tests.cli.asking import Asker

DEMO = Path(__file__).parents[2] / "jobs/configs/demo.toml"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker("config", monkeypatch, capsys)


def test_a_valid_config_is_said_to_be_one(ask: Asker) -> None:
    assert ask("check", "--config", DEMO) == "valid: run demo\n"


def test_a_wrong_key_is_named(ask: Asker) -> None:
    assert "unknown key sae.num_latent; " in ask("check", "--config", DEMO, "--set", "sae.num_latent=3", status=2)


def test_every_key_is_shown_with_its_value_default_and_doc_line(ask: Asker) -> None:
    shown = {row["key"]: row for row in json.loads(ask("show", "--config", DEMO, "--set", "seed=7", "--json"))}
    assert list(shown) == [one.key for one in describe(load(DEMO))]
    assert (shown["seed"]["value"], shown["seed"]["default"]) == (7, 0)
    assert all(row["doc"] for row in shown.values())


def test_the_table_tells_what_differs_from_the_default(ask: Asker) -> None:
    rows = {line.split()[0]: line for line in ask("show", "--config", DEMO).splitlines() if line.strip()}
    assert rows["sae.num_latents"].split()[:3] == ["sae.num_latents", "128", "1024"]
    assert rows["seed"].split()[:4] == ["seed", "0", "Seed", "of"]
    assert "—" in rows["mlflow.uri"] and "required" in rows["name"]


def test_the_schema_is_one_that_takes_the_demo(ask: Asker) -> None:
    schema = json.loads(ask("schema"))
    assert schema == json_schema()
    jsonschema.validate(load(DEMO).model_dump(mode="json"), schema)
