from __future__ import annotations

from pathlib import Path

import pytest

from recsae.config.schema import Config
from tests.lookup import made_night


@pytest.fixture(scope="session")
def night_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A config whose run serves the made night."""
    root: Path = tmp_path_factory.mktemp("night")
    config = made_night.config_at(root / "runs")
    made_night.serve(config)
    return config
