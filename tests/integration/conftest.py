"""One Ray for all integration tests, and the embedded language model, fetched once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recsae.concepts.llm_model import locate_model
from recsae.config import LlmConfig


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """More logical CPUs than a small machine has: stages hold actors while Ray Data feeds them."""
    import ray

    ray.init(address="local", num_cpus=6, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def model_folder() -> str:
    return locate_model(LlmConfig())
