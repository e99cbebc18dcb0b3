"""A model trained elsewhere through the stages that ask it: what others' models go through, and no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from recsae.config.schema import Config
from recsae.data.chunks import n_chunks
from recsae.errors import BadInput
from recsae.pipeline.runner import Pipeline
from recsae.recommenders import registry
from recsae.recommenders.evaluation import count_chunk, quick_plan
from recsae.stats.ranking_metrics import figures
from recsae.store import shards
from tests.planted import write_planted
from tests.recommenders import external_models
from tests.recommenders.external_world import MASKED, MODELS, state_of


def config_of(folder: Path, name: str, **probe: Any) -> Config:
    """A model, a vocabulary and a planted catalogue on disk, and the run over them."""
    write_planted(folder, n_users=90, n_concepts=4, items_per_concept=8, events_per_user=(5, 12))
    ids = sorted(pd.read_parquet(folder / "items.parquet")["item_id"])
    pd.DataFrame({"item_id": ids, "token": np.arange(len(ids)) + 1}).to_csv(folder / "v.csv", index=False)
    arguments = {"n_tokens": len(ids) + 1, "width": 12}
    torch.manual_seed(0)
    (folder / "w.safetensors").write_bytes(state_of(getattr(external_models, name)(**arguments)))
    return Config.model_validate(
        {
            "name": "foreign",
            "store": {"root": str(folder / "store")},
            "data": {
                "interactions": [str(folder / "interactions.parquet")],
                "min_user_events": 1,
                "min_item_events": 1,
            },
            "cases": {"max_per_user": 8},
            "recommender": {
                "kind": "foreign",
                "max_length": 8,
                "foreign": {
                    "factory": f"{MODELS}:{name}",
                    "arguments": arguments,
                    "weights": str(folder / "w.safetensors"),
                    "vocabulary": str(folder / "v.csv"),
                    "inputs": MASKED,
                    "padding": "left",
                },
            },
            "probe": {"site": "first", **probe},
        }
    )


def test_a_model_of_every_position_is_measured_and_read(ray_session: str, tmp_path: Path) -> None:
    pipeline = Pipeline(config_of(tmp_path, "Running"))
    ingested, trained, read = (pipeline.run(stage) for stage in ("ingest", "recommender", "activations"))
    model = registry.load(trained, "first")
    survey = quick_plan(ingested, "test", 0, pipeline.config.ranking)
    counts = sum(count_chunk(model, survey, number, "cpu") for number in range(n_chunks(ingested)))
    assert trained.metrics["test"] == figures(counts[0])  # type: ignore[index]
    assert trained.metrics["kind"] == "foreign" and trained.metrics["epochs"] == 0
    assert sorted(trained.files()) == ["model/config.json", "model/tokens.safetensors", "model/weights.safetensors"]
    assert (tmp_path / "w.safetensors").read_bytes() == Path(
        trained.data.child("model").locate("weights.safetensors")
    ).read_bytes()
    assert read.metrics["cases"] == ingested.metrics["cases"]
    assert read.metrics["width"] == 12
    table = shards.read(read.data, read.files(shards.PREFIX)[0])
    assert len(table) and np.isfinite(np.stack(table["activation"].to_numpy())).all()


def test_a_model_of_the_last_position_is_asked_case_by_case(ray_session: str, tmp_path: Path) -> None:
    pipeline = Pipeline(config_of(tmp_path, "Last"))
    ingested, _, read = (pipeline.run(stage) for stage in ("ingest", "recommender", "activations"))
    assert read.metrics["cases"] == ingested.metrics["cases"] > 3 * 90


def test_what_cannot_be_asked_is_one_sentence_and_leaves_nothing(ray_session: str, tmp_path: Path) -> None:
    pipeline = Pipeline(config_of(tmp_path, "Running", site="frist"))
    pipeline.run("ingest")
    with pytest.raises(BadInput, match=r"^probe\.site = frist: the model has no submodule of that name; the nearest"):
        pipeline.run("recommender")
    assert not list((tmp_path / "store/foreign/recommender").glob("*/attempt-*"))
