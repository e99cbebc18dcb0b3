"""The names of `import recsae`: all there, typed, and free until they are used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import recsae

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_every_public_name_resolves_and_is_listed() -> None:
    for name in recsae.__all__:
        assert getattr(recsae, name) is not None and name in dir(recsae)
    assert {*recsae._HOMES, "__version__"} == set(recsae.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = recsae.nothing


def test_the_import_loads_nothing_else_and_tables_load_no_model() -> None:
    light = "import sys, recsae; recsae.__version__; assert not {'numpy', 'pandas', 'pydantic'} & sys.modules.keys()"
    tables = "import sys, recsae; recsae.open_run; assert not {'torch', 'ray', 'numba'} & sys.modules.keys()"
    for program in (light, tables):
        subprocess.run([sys.executable, "-c", program], check=True)


def test_types_and_the_version_travel_with_the_package() -> None:
    assert files("recsae").joinpath("py.typed").is_file()
    setup = tomllib.loads(PYPROJECT.read_text())
    assert setup["project"]["dynamic"] == ["version"]
    assert setup["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "recsae.__version__"}
