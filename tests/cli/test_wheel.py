"""The wheel: recsae alone with all its data files, and a command that runs where nothing else of the checkout is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder stays in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("recsae", "jobs", "tests"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("recsae-*.whl")
    return built


def test_it_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "recsae").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    assert {"recsae/data/builtin/demo.toml", "recsae/data/builtin/tags.parquet"} <= held


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recsae` of a fresh environment that holds the wheel, beside the dependencies of this one."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = next(folder.glob("lib/python*/site-packages"))
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q", wheel]
    subprocess.run(install, check=True, capture_output=True)
    # A plain line is a folder to look in; the checkout's own .pth files there are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "recsae"


def test_the_installed_command_runs_away_from_the_checkout(command: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = subprocess.run([command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Commands:" in run("--help")
    assert run("config", "check") == "valid: run demo\n"
    assert "recsae run" in run("status", "--set", f"store.root={tmp_path}")
    where = [command.with_name("python"), "-c", "import recsae; print(recsae.__file__)"]
    assert str(command.parents[1]) in subprocess.run(where, cwd=tmp_path, capture_output=True, text=True).stdout
    assert list(tmp_path.iterdir()) == []
