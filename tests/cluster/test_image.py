"""The image: what the linter says, pins, a user without rights, nothing secret, and versions that are the project's."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import ray
import torch

import recsae
from tests.cluster.manifests import FOLDER, MANIFESTS, RAY_UP, REPOSITORY

DOCKERFILE = FOLDER / "Dockerfile"
TEXT = DOCKERFILE.read_text()


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("hadolint"), path], capture_output=True, text=True, timeout=60
    )


def test_the_linter_has_nothing_to_say() -> None:
    done = lint(DOCKERFILE)
    assert done.returncode == 0, done.stdout


def test_the_linter_would_speak_up(tmp_path: Path) -> None:
    for name, broken in (
        ("latest", re.sub(r"^FROM python:\S+", "FROM python:latest", TEXT, count=1, flags=re.M)),
        ("root", TEXT.replace("USER 1000:1000", "USER root")),
        ("torn", TEXT.replace("WORKDIR", "WORKDIRECTORY")),
    ):
        path = tmp_path / name
        path.write_text(broken)
        assert broken != TEXT and lint(path).returncode != 0, name


def test_bases_are_pinned_and_targets_are_those_that_files_use() -> None:
    bases = re.findall(r"^FROM (\S+) AS (\S+)$", TEXT, flags=re.M)
    assert bases[0][0].startswith("python:3.11.") and re.search(r":\d+\.\d+\.\d+-\S+$", bases[0][0])
    targets = [target for _, target in bases[1:]]
    assert targets == ["cpu", "gpu"] and {base for base, _ in bases[1:]} == {"base"}
    version = recsae.__version__
    used = {
        image
        for name in (*MANIFESTS, *RAY_UP)
        for image in re.findall(r"registry\.example/\S+?(?=[\s}\]])", (FOLDER / name).read_text())
    }
    assert used == {f"registry.example/recsae:{version}-{target}" for target in targets}


def test_versions_are_those_that_are_tested_with() -> None:
    assert re.findall(r"ray==([\d.]+)", TEXT) == [ray.__version__] * 2
    assert set(re.findall(r"torch==([\d.]+)", TEXT)) == {torch.__version__.partition("+")[0]}
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra for found in re.findall(r"'\.\[([\w,]+)\]'", TEXT) for extra in found.split(",")} <= extras.keys()


def test_it_runs_as_nobody_in_particular_and_copies_no_more_than_it_names() -> None:
    assert TEXT.index("USER 1000:1000") < TEXT.index("FROM base AS cpu") and "USER root" not in TEXT
    copied = re.findall(r"^COPY --chown=\S+ (.+) \S+$", TEXT, flags=re.M)
    assert {name for line in copied for name in line.split()} == {
        *("pyproject.toml", "README.md", "LICENSE", "recsae", "jobs")
    }
    assert all((REPOSITORY / name).exists() for line in copied for name in line.split())
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored and {line[1:] for line in ignored if line.startswith("!")} == {
        name for line in copied for name in line.split()
    }
    assert not re.search(r"recsae\.llm\.model|KEY|PASSWORD|AUTH_TOKEN", TEXT)
