"""One Ray for all integration tests, the embedded language model, and one finished line on a planted catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsae.config.concepts import LlmConfig
from recsae.config.schema import Config
from recsae.distributed.cluster import start_ray
from recsae.llm.model import locate_model
from recsae.llm.sharing import shared_engines
from recsae.pipeline.runner import STAGES, Pipeline
from tests.integration.browsing import browser, opened
from tests.planted import write_planted

__all__ = ["browser", "opened"]

WORKERS = {"train_workers": 2, "probe_actors": 2, "llm_actors": 3}
"""The most that a test of this session asks for and must get; of the engines one may be kept for the next test."""


@pytest.fixture(scope="session")
def ray_session() -> Iterator[str]:
    """The address of a Ray that is as a job with two workers starts it."""
    import ray

    start_ray(Config.model_validate({"name": "session", "data": {"interactions": ["none"]}, "resources": WORKERS}))
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="module")
def engines(ray_session: str) -> Iterator[None]:
    """Stages of one file's tests share an engine: to start one takes longer than a line's questions. No longer than a
    file: an idle engine holds a CPU, and elastic training waits for all that Ray's policy counts."""
    with shared_engines():
        yield


@pytest.fixture(scope="session")
def model_folder() -> str:
    return locate_model(LlmConfig())


def planted_toml(folder: Path, root: Path) -> str:
    """A small run over the planted catalogue, as a user would write it."""
    return f"""
name = "planted"
[store]
root = "{root}"
[data]
interactions = ["{folder}/interactions.parquet"]
items = ["{folder}/items.parquet"]
attributes = {{ genres = "" }}
[cases]
max_per_user = 20
[recommender]
width = 32
max_length = 20
blocks = 1
epochs = 12
batch_size = 32
negatives = 0
[sae]
num_latents = 24
k = 3
steps = 400
batch_size = 1024
dead_after = 50_000
checkpoints = 2
[evidence]
top = 32
level = 4
random = 32
popularity = 32
[labels]
latents = 0
[scores]
select_cases = 16
score_cases = 48
[resources]
lease_seconds = 3
llm_actors = 1
"""


@pytest.fixture(scope="session")
def planted_run(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """The config and its TOML file of a line that ran from events to report, undisturbed."""
    from recsae.config.loader import load

    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder)
    toml = folder / "planted.toml"
    toml.write_text(planted_toml(folder, tmp_path_factory.mktemp("store")))
    config = load(toml)
    pipeline = Pipeline(config)
    with shared_engines():
        for stage in STAGES:
            pipeline.run(stage)
    pipeline.publish()
    return config, toml
