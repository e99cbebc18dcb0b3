"""Stages as jobs on a real cluster: the submitter is killed in the middle, called again, and every stage ran once."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from recsae.submission.retry import reach
from tests.integration.own_cluster import REPOSITORY, own_cluster
from tests.planted import write_planted

NIGHT = "2026-11-25"
STAGES = ("ingest", "recommender")
SUBMITTER = f"""
import sys
from recsae.cli import submit
from recsae.cli.main import main
from recsae.pipeline import stages
stages.STAGES = {{name: stages.STAGES[name] for name in {STAGES!r}}}
plan = submit.plan
submit.plan = lambda config, path, overrides, night, stages: plan(config, path, overrides, night, {list(STAGES)!r})
main(["submit"])
"""
"""`recsae submit`, of a line that ends with the recommender."""


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    folder = Path(tempfile.mkdtemp(prefix="r"))  # pytest's own folders are too deep for a socket's name
    try:
        with own_cluster(folder, cores=4) as reached:
            yield reached
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_planted(tmp_path, n_users=60, n_concepts=3, items_per_concept=8, events_per_user=(6, 12))
    path = tmp_path / "tiny.toml"
    path.write_text(f"""
name = "tiny"
store.root = "{tmp_path}/store"
data.interactions = ["{tmp_path}/interactions.parquet"]
data.items = ["{tmp_path}/items.parquet"]
data.attributes = {{ genres = "" }}
data.min_user_events = 1
data.min_item_events = 1
cases.max_per_user = 8
recommender = {{ width = 8, max_length = 8, blocks = 1, heads = 1, epochs = 2, negatives = 0 }}
submit.python = "{sys.executable}"
submit.entrypoint = {{ cpus = 1, labels = {{ "recsae/group" = "data" }} }}
""")
    return path


def start(config: Path, reached: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SUBMITTER, "--config", str(config), "--night", NIGHT]
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=reached, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def jobs(reached: dict[str, str]) -> dict[str, dict[str, Any]]:
    token = Path(reached["RAY_AUTH_TOKEN_PATH"]).read_text()
    headers = {"Authorization": f"Bearer {token}"}

    def ask() -> requests.Response:
        return requests.get(f"{reached['RAY_API_SERVER_ADDRESS']}/api/jobs/", headers=headers, timeout=60)

    answer = reach(ask, time.sleep, print)
    assert answer.ok
    return {job["submission_id"]: job for job in answer.json() if job["submission_id"]}


def test_a_killed_submitter_goes_on_and_every_stage_runs_once(cluster: dict[str, str], config: Path) -> None:
    address = cluster["RAY_API_SERVER_ADDRESS"]
    assert requests.get(f"{address}/api/jobs/", timeout=30).status_code == 401, "the jobs are open to anybody"
    first = start(config, cluster)
    deadline = time.monotonic() + 180
    while f"recsae-tiny-{NIGHT}-ingest" not in jobs(cluster):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate(timeout=5)
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    again = start(config, cluster)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    done = jobs(cluster)
    assert sorted(done) == [f"recsae-tiny-{NIGHT}-{stage}" for stage in STAGES], "a stage was submitted twice"
    assert {job["status"] for job in done.values()} == {"SUCCEEDED"}
    assert "recommender: started" in output and "recommender: done" in output, "its log was not shown"
    store = config.parent / "store" / "tiny"
    assert [len(list(store.glob(f"{stage}/*/attempt-*"))) for stage in STAGES] == [1, 1]
    manifests = [json.loads(next(store.glob(f"{stage}/*/_manifest.json")).read_text()) for stage in STAGES]
    assert all(manifest["files"] for manifest in manifests)
    assert Path(cluster["RAY_AUTH_TOKEN_PATH"]).read_text() not in output
