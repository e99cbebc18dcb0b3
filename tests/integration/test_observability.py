"""A job on a Ray of its own: what its metrics endpoint shows, and lines of its workers as JSON.

The session's Ray is left alone: reports are asked for more often, and both streams are taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import planted_toml
from tests.planted import write_planted

REPOSITORY = Path(__file__).parents[2]
SECRET = "hunter22secret"
SECONDS = 300
JOB = """
import dataclasses
import sys

import ray

from recsae.cli.main import main
from recsae.config.loader import load
from recsae.llm.pool import Completion, Meter
from recsae.observability import context, log_format
from recsae.pipeline.runner import STAGES, Pipeline

secret, toml = sys.argv.pop(), sys.argv[-1]
main(["stage", "ingest"])

def broken(config, inputs, out):
    raise OSError("lost")

@ray.remote
def speak(secret):
    print("from afar, s3://user:" + secret + "@bucket a\\x1b[2Kb")

with log_format.lines():
    STAGES["recommender"] = dataclasses.replace(STAGES["recommender"], run=broken)
    try:
        Pipeline(load(toml)).run("recommender")
    except OSError:
        pass
    with context.at_work("planted", "labels"):
        meter = Meter("model")
        meter.add([Completion("x", None, "ok", 5)] * 7)
        ray.get(speak.remote(secret))
        print("port", ray.nodes()[0]["MetricsExportPort"])
        sys.stdin.read()
"""

Told = list[dict[str, Any]]
Seen = dict[tuple[str, str], float]
WANTED = {
    ("ray_recsae_stage_seconds", "ingest"),
    ("ray_recsae_stage_rows", "ingest"),
    ("ray_recsae_stage_bytes", "ingest"),
    ("ray_recsae_users", "ingest"),
    ("ray_recsae_stage_attempts_total", "ingest"),
    ("ray_recsae_stage_attempts_total", "recommender"),
    ("ray_recsae_stage_failures_total", "recommender"),
    ("ray_recsae_questions_total", "labels"),
    ("ray_recsae_questions_per_second", "labels"),
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Told, Seen, Path]]:
    """What the job said, what its endpoint showed, and where its store is."""
    folder = tmp_path_factory.mktemp("watched")
    write_planted(folder)
    toml = folder / "planted.toml"
    toml.write_text(planted_toml(folder, folder / "store"))
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, "--config", str(toml), SECRET],
        env={**os.environ, "RECSAE_LOG": "json", "RAY_metrics_report_interval_ms": "4000"},
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stdin is not None and job.stdout is not None
    ending = threading.Timer(SECONDS, job.kill)
    ending.start()
    try:
        told, port, spoken = [], 0, False
        while not (port and spoken):
            line = job.stdout.readline()
            assert line, f"the job ended after {told}"
            told.append(json.loads(line))
            message = told[-1]["message"]
            port = int(message.removeprefix("port ")) if message.startswith("port ") else port
            spoken = spoken or "from afar" in message
        yield told, _scraped(port), folder / "store"
        job.stdin.close()
        assert job.wait() == 0
    finally:
        ending.cancel()
        job.kill()
        job.wait()
        job.stdout.close()


def _scraped(port: int) -> Seen:
    """Figures of recsae by name and stage, when all that is wanted is there, or after half a minute."""
    seen: Seen = {}
    for _ in range(60):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        for line in lines:
            name, brace, rest = line.partition("{")
            if brace and name.startswith("ray_recsae_") and 'run="planted"' in rest:
                seen[name, rest.partition('stage="')[2].partition('"')[0]] = float(rest.rpartition(" ")[2])
        if seen.keys() >= WANTED:
            break
        time.sleep(0.5)
    return seen


def test_the_endpoint_shows_the_figures_of_a_stage(watched: tuple[Told, Seen, Path]) -> None:
    _, seen, store = watched
    assert seen.keys() >= WANTED
    (manifest,) = store.glob("planted/ingest/*/_manifest.json")
    done = json.loads(manifest.read_text())
    assert seen["ray_recsae_stage_seconds", "ingest"] == done["seconds"]
    assert seen["ray_recsae_stage_rows", "ingest"] == done["metrics"]["events"]
    assert seen["ray_recsae_stage_bytes", "ingest"] == sum(file["bytes"] for file in done["files"])
    assert seen["ray_recsae_users", "ingest"] == done["metrics"]["users"]


def test_the_endpoint_counts_attempts_failures_and_questions(watched: tuple[Told, Seen, Path]) -> None:
    _, seen, _ = watched
    assert seen["ray_recsae_stage_attempts_total", "ingest"] == 1
    assert ("ray_recsae_stage_failures_total", "ingest") not in seen
    assert seen["ray_recsae_stage_failures_total", "recommender"] == 1
    assert seen["ray_recsae_questions_total", "labels"] == 7
    assert seen["ray_recsae_questions_per_second", "labels"] > 0


def test_every_line_is_an_object_also_a_workers(watched: tuple[Told, Seen, Path]) -> None:
    told, _, store = watched
    begun = next(one for one in told if one["message"].startswith("ingest: started"))
    assert (begun["run"], begun["stage"], begun["logger"]) == ("planted", "ingest", "recsae.pipeline.runner")
    (attempt,) = store.glob("planted/ingest/*/attempt-*")
    assert begun["attempt"] == attempt.name
    afar = next(one for one in told if "from afar" in one["message"])
    assert afar["message"] == "from afar, s3://bucket a [2Kb"
    assert (afar["logger"], afar["stage"]) == ("ray", "labels") and afar["worker"].startswith("speak pid=")
