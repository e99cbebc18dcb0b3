"""The planted bias: its config and its stages, without Ray."""

from __future__ import annotations

import pytest

from recsae.config.schema import Config
from recsae.policies.build import PolicyInputs
from tests.policies import biased
from tests.sae.fake_ray import without_ray


@pytest.fixture(scope="module")
def n_users() -> int:
    """Modules that need fewer override this fixture."""
    return 600


@pytest.fixture(scope="module")
def planted_line(tmp_path_factory: pytest.TempPathFactory, n_users: int) -> tuple[Config, PolicyInputs]:
    settings, made, _ = biased.line(tmp_path_factory.mktemp("biased"), n_users)
    return settings, made


@pytest.fixture(scope="module")
def settings(planted_line: tuple[Config, PolicyInputs]) -> Config:
    return planted_line[0]


@pytest.fixture(scope="module")
def made(planted_line: tuple[Config, PolicyInputs]) -> PolicyInputs:
    return planted_line[1]


@pytest.fixture(autouse=True)
def _in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
