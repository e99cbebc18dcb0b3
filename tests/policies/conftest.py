"""The planted bias: its config and its stages, and no Ray."""

from __future__ import annotations

import pytest

from recsae.config.schema import Config
from recsae.policies.build import Made
from tests.policies import biased
from tests.sae.fake_ray import without_ray


@pytest.fixture(scope="module")
def n_users() -> int:
    """A module that needs fewer says so by a fixture of this name."""
    return 600


@pytest.fixture(scope="module")
def planted_line(tmp_path_factory: pytest.TempPathFactory, n_users: int) -> tuple[Config, Made]:
    settings, made, _ = biased.line(tmp_path_factory.mktemp("biased"), n_users)
    return settings, made


@pytest.fixture(scope="module")
def settings(planted_line: tuple[Config, Made]) -> Config:
    return planted_line[0]


@pytest.fixture(scope="module")
def made(planted_line: tuple[Config, Made]) -> Made:
    return planted_line[1]


@pytest.fixture(autouse=True)
def _in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
