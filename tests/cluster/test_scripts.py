"""Shell scripts parse, please shellcheck, and stop nothing but their own; the page names files that are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recsae.config.loader import load
from tests.cluster.manifests import FOLDER, REPOSITORY

SCRIPTS = (FOLDER / "local.sh", REPOSITORY / ".ci" / "run")


def shellcheck(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), path], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_please_shellcheck(path: Path) -> None:
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", path], check=True, timeout=60)
    done = shellcheck(path)
    assert done.returncode == 0, done.stdout


def test_shellcheck_would_speak_up(tmp_path: Path) -> None:
    path = tmp_path / "broken.sh"
    path.write_text("#!/usr/bin/env bash\nrm -rf $1/*\n")
    assert shellcheck(path).returncode != 0


def test_the_local_cluster_keeps_to_itself() -> None:
    script = (FOLDER / "local.sh").read_text()
    code = "\n".join(line for line in script.splitlines() if not line.startswith("#"))
    assert not re.search(r"ray\"? stop|pkill|killall|0\.0\.0\.0", code)
    assert "cluster/local_nodes.py" in code and "-m jobs.submit" in code


def test_a_missing_argument_is_told_and_starts_nothing() -> None:
    done = subprocess.run([FOLDER / "local.sh"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("usage: cluster/local.sh")


def test_the_page_names_what_is_there() -> None:
    page = (FOLDER / "README.md").read_text()
    files = {path.name for path in FOLDER.iterdir() if path.is_file()} - {"README.md", "Dockerfile.dockerignore"}
    table = {name for line in page.splitlines() if line.startswith("|") for name in re.findall(r"`([\w.]+?)[ `]", line)}
    assert files <= table
    for module in re.findall(r"python -m (jobs\.\w+)", page):
        assert (REPOSITORY / (module.replace(".", "/") + ".py")).is_file()
    for config in re.findall(r"jobs/configs/\w+\.toml", page):
        load(REPOSITORY / config)
    assert page.rstrip().endswith("## How the pieces scale") or "## How the pieces scale\n" in page
