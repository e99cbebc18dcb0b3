"""The config as documentation: every key once, with its value, default and doc line, and a schema for editors."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from recsae.config.docs import REQUIRED, KeyDoc, describe, json_schema
from recsae.config.schema import Config

CONFIGS = sorted((Path(__file__).parents[2] / "jobs/configs").glob("*.toml"))


def described(**sections: Any) -> dict[str, KeyDoc]:
    keys = describe(Config.model_validate({"name": "night", **sections}))
    assert len({one.key for one in keys}) == len(keys)
    return {one.key: one for one in keys}


def test_every_key_has_its_value_its_default_and_a_doc_line() -> None:
    keys = described(sae={"k": 4, "sweep": {"seed": [1, 2]}})
    assert keys["sae.k"][1:3] == (4, 8)
    assert keys["sae.sweep.seed"][1:3] == ([1, 2], [])
    assert keys["name"][1:3] == ("night", REQUIRED)
    assert keys["seed"].doc == "Seed of every random draw."
    assert all(one.doc and "\n" not in one.doc for one in keys.values())


def test_an_optional_section_that_is_left_out_says_so_and_lists_its_keys() -> None:
    left_out, given = described(), described(nights={"steps": 3})
    assert left_out["nights"][1:3] == (None, None)
    assert left_out["nights.steps"][1:3] == (None, 500)
    assert "nights" not in given
    assert given["nights.steps"][1:3] == (3, 500)
    assert left_out["labels.endpoint.url"][1:3] == (None, REQUIRED)


def test_no_value_shows_a_credential() -> None:
    assert described(store={"root": "s3://me:secret@shop/runs"})["store.root"].value == "s3://shop/runs"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_schema_accepts_every_config_of_the_jobs(path: Path) -> None:
    jsonschema.validate(tomllib.loads(path.read_text()), json_schema())


def test_the_schema_refuses_an_unknown_key() -> None:
    with pytest.raises(jsonschema.ValidationError, match="num_latent"):
        jsonschema.validate({"name": "night", "sae": {"num_latent": 4}}, json_schema())
