"""The files of an external model: read from the user, copied to the store, part of the fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from recsae.config.recommender import ForeignConfig, RecommenderConfig
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.pipeline.runner import Pipeline
from recsae.recommenders import external_files, registry
from recsae.recommenders.external_sources import external_content
from recsae.recommenders.ranking import pad
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit
from tests.recommenders.external_models import Running
from tests.recommenders.external_world import MASKED, MODELS, state_of

WIDTH, LENGTH = 12, 12


@pytest.fixture
def items(ingested: Committed) -> list[str]:
    ids: list[str] = ingested.read_table("items.parquet")["item_id"].to_pylist()
    return ids


@pytest.fixture
def config(tmp_path: Path, planted_config: Config, items: list[str]) -> Config:
    """A model and a vocabulary on disk, and a run that names them: item i of the catalogue is token 2 i + 1."""
    vocabulary = pd.DataFrame({"token": 2 * np.arange(len(items)) + 1, "name": "", "item_id": items})
    strangers = pd.DataFrame({"token": [1, 1], "name": "", "item_id": ["gone", "gone"]})
    pd.concat([strangers, vocabulary.sample(frac=1, random_state=0)]).to_csv(tmp_path / "v.csv", index=False)
    arguments = {"n_tokens": 2 * len(items), "width": WIDTH}
    torch.manual_seed(3)
    (tmp_path / "w.safetensors").write_bytes(state_of(Running(**arguments)))
    foreign = {
        "factory": f"{MODELS}:Running",
        "arguments": arguments,
        "weights": str(tmp_path / "w.safetensors"),
        "vocabulary": str(tmp_path / "v.csv"),
        "inputs": MASKED,
    }
    sections = planted_config.model_dump() | {
        "store": {"root": str(tmp_path / "store")},
        "recommender": {"kind": "foreign", "max_length": LENGTH, "foreign": foreign},
        "probe": {"site": "first"},
    }
    return Config.model_validate(sections)


def section(config: Config, **changed: Any) -> ForeignConfig:
    assert config.recommender.foreign is not None
    return config.recommender.foreign.model_copy(update=changed)


def test_tokens_come_by_the_catalogue_whatever_else_the_vocabulary_holds(config: Config, ingested: Committed) -> None:
    tokens_N = external_files.read_files(section(config), ingested).tokens_N
    assert tokens_N.tolist() == list(range(1, 2 * len(tokens_N), 2))
    assert tokens_N.dtype == torch.int64


def test_whole_numbers_may_be_written_as_a_table_has_them(config: Config, ingested: Committed, tmp_path: Path) -> None:
    read = pd.read_csv(tmp_path / "v.csv")
    for name, write in (
        ("v.parquet", lambda path: read.astype({"token": "float64"}).to_parquet(path)),
        ("v.tsv", lambda path: read.to_csv(path, sep="\t", index=False)),
    ):
        write(tmp_path / name)
        tokens_N = external_files.read_files(section(config, vocabulary=str(tmp_path / name)), ingested).tokens_N
        assert tokens_N.tolist() == list(range(1, 2 * len(tokens_N), 2))


def test_a_saved_model_scores_the_same_to_the_bit(config: Config, ingested: Committed, commit: Commit) -> None:
    parts = external_files.read_files(section(config), ingested)
    model = external_files.build_model(config.recommender, parts, "first", "cpu")

    def write(out: Attempt) -> Metrics:
        external_files.save(out.data.child("model"), parts, config.recommender, 120, model.n_items)
        return {}

    loaded = registry.load(commit("recommender", write), "first")
    draw = np.random.default_rng(0)
    histories = pad([draw.integers(0, model.n_items, length) for length in (12, 5, 1)], "cpu", np.arange(3))
    with torch.inference_mode():
        h_BLD, again_BLD = model.probe(histories), loaded.probe(histories)
        assert torch.equal(h_BLD, again_BLD)
        u_XU, again_XU = (one.proceed(h_BLD + 1, histories).flatten(0, 1) for one in (model, loaded))
        assert torch.equal(model.scores(u_XU, 0, 48), loaded.scores(again_XU, 0, 48))
    assert (loaded.n_items, loaded.width, loaded.max_length, loaded.site) == (model.n_items, WIDTH, LENGTH, "first")
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.every_position


def test_the_content_of_the_files_decides_the_fingerprint(config: Config, tmp_path: Path) -> None:
    def prints() -> tuple[str, str]:
        pipeline = Pipeline(config)
        return pipeline.fingerprint("ingest"), pipeline.fingerprint("recommender")

    before = prints()
    assert prints() == before
    assert sorted(external_content(config)) == [
        "recommender.foreign.vocabulary",
        "recommender.foreign.weights",
    ]
    seen = {before[1]}
    for name in ("w.safetensors", "v.csv"):
        with (tmp_path / name).open("ab") as file:
            file.write(b"\n")
        ingest, recommender = prints()
        assert ingest == before[0] and recommender not in seen
        seen.add(recommender)
    assert external_content(config.model_copy(update={"recommender": RecommenderConfig()})) == {}


@pytest.mark.parametrize("key", ["weights", "vocabulary"])
@pytest.mark.parametrize("path", ["nowhere/x.csv", "file:///nowhere/x.csv"])
def test_files_that_are_not_there(config: Config, key: str, path: str) -> None:
    changed = config.recommender.model_copy(update={"foreign": section(config, **{key: path})})
    with pytest.raises(BadInput, match=f"^recommender.foreign.{key}: {path}: no such file; fix the path$"):
        external_content(config.model_copy(update={"recommender": changed}))


def swapped(row: str, token: str) -> str:
    return ",".join([token, *row.split(",")[1:]])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[:-3], r"3 of the 48 items of the catalogue have no token, the first item-\d{4}; add their"),
        (lambda rows: [*rows, rows[9]], r"row 51: a second token for item item-\d{4}; keep one of them"),
        (
            lambda rows: [*rows[:9], swapped(rows[9], rows[8].split(",")[0]), *rows[10:]],
            r"row 9: token \d+ stands for item-\d{4} and item-\d{4}; give each one of its own",
        ),
        (
            lambda rows: [*rows[:9], swapped(rows[9], "x"), *rows[10:]],
            r"row 9: the token 'x' of item item-\d{4} is no whole number; fix it",
        ),
        (
            lambda rows: ["number,name,item_id", *rows[1:]],
            "there is no column token among number, name, item_id; call two of them item_id and token",
        ),
        (lambda rows: ["token,item_id,item_id", *rows[1:]], "the header names column item_id twice; rename one"),
    ],
)
def test_vocabularies_that_cannot_be_used(
    config: Config, ingested: Committed, tmp_path: Path, spoil: Callable[[list[str]], list[str]], said: str
) -> None:
    rows = (tmp_path / "v.csv").read_text().splitlines()
    (tmp_path / "v.csv").write_text("\n".join(spoil(rows)) + "\n")
    with pytest.raises(BadInput, match=f"^recommender.foreign.vocabulary: .*/v.csv: {said}"):
        external_files.read_files(section(config), ingested)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"factory": ""}, "name either factory and weights, or program"),
        ({"program": "p.pt2"}, "name either factory and weights, or program"),
        ({"factory": "shop.models"}, "is not module:attribute"),
        ({"weights": ""}, "factory needs weights"),
        ({"factory": "", "program": "p.pt2"}, "a program has its weights inside"),
        ({"inputs": {"mask": "mask"}}, "inputs gives the model no items"),
    ],
)
def test_sections_that_say_too_little_or_too_much(config: Config, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ForeignConfig.model_validate(section(config).model_dump() | changed)
