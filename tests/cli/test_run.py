"""The commands that run stages, and the jobs that stand for them: thin, with the line that submits them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recsae.cli.main import main
from recsae.config.schema import Config
from recsae.pipeline.stages import STAGES
from recsae.store.run_store import Committed
from tests.made_run import commit_all, config_at

REPOSITORY = Path(__file__).parents[2]
NO_STAGE = {"__init__", "submit"}
EXTRA = {"nightly", "publish", "export", "explain", "tune", "recommend", "show", "status", "survey", "compare", "plant"}
NO_RUN = {"plant"}
"""Of no config: what they are told stands on the command line."""
DOES = {"survey": "survey export"}
"""A job that does several things, and what is submitted of it."""
JOBS = {path.stem: path for path in (REPOSITORY / "jobs").glob("*.py") if path.stem not in NO_STAGE}


def test_there_is_one_job_for_every_stage_and_no_other() -> None:
    assert set(JOBS) - EXTRA == set(STAGES)
    assert set(JOBS) >= EXTRA


@pytest.mark.parametrize("name", sorted(JOBS))
def test_the_docstring_of_a_job_holds_the_line_that_submits_it(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(JOBS[name].read_text())) or ""
    whole = re.sub(r"\s*\\\n\s*", " ", docstring)
    lines = [line.strip() for line in whole.splitlines() if "ray job submit" in line]
    assert len(lines) == 1
    job = f"-- python -m jobs.{DOES.get(name, name)} --"
    assert lines[0].startswith("ray job submit ") and job in lines[0]
    if name in NO_RUN:
        return
    assert f"{job}config " in lines[0]
    config, _, overrides = lines[0].partition(" --config ")[2].partition(" ")
    assert (REPOSITORY / config).is_file()
    assert overrides.startswith("--set store.root=/"), "a submitted job refuses a relative store"


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_job_runs_the_stage_that_it_is_named_after(name: str) -> None:
    assert f'main(["stage", "{name}"])' in JOBS[name].read_text()


def submit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_missing_config_ends_in_one_sentence_and_status_2() -> None:
    done = submit("jobs.ingest", "--config", "missing.toml")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "recsae: missing.toml: no such config file; give --config an existing TOML file\n"


def test_an_unknown_key_ends_in_one_sentence_and_status_2() -> None:
    done = submit("jobs.sae", "--config", "jobs/configs/demo.toml", "--set", "sae.num_latent=8")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith("unknown key sae.num_latent; the nearest known one is num_latents\n")
    assert done.stderr.startswith("recsae: ") and done.stderr.count("\n") == 1


def refusal(
    arguments: list[str], stages: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What the command that runs these stages, or publishes, says on stderr before it exits with status 2."""
    monkeypatch.setattr(sys, "argv", ["recsae", *arguments])
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SystemExit) as caught:
        main(["stage", *stages] if stages else ["publish"])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("recsae: ") and message.count("\n") == 1
    return message


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ray is not started; the list tells whether it would have been."""
    asked: list[str] = []
    monkeypatch.setattr("recsae.cli.run.connect", lambda config: asked.append(config.name))
    return asked


def test_a_root_that_cannot_be_written_ends_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_ray: list[str]
) -> None:
    (tmp_path / "file").write_text("x")
    arguments = ["--config", "jobs/configs/demo.toml", "--set", f"store.root={tmp_path}/file/below"]
    assert "store.root: " in refusal(arguments, ["ingest"], monkeypatch, capsys)


def test_a_stage_without_its_inputs_names_the_job_that_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_ray: list[str]
) -> None:
    arguments = ["--config", "jobs/configs/demo.toml", "--set", f"store.root={tmp_path}"]
    assert "recsae stage ingest" in refusal(arguments, ["recommender"], monkeypatch, capsys)
    assert list(tmp_path.iterdir()) == []


def test_publishing_what_was_not_made_names_the_first_job_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_ray: list[str]
) -> None:
    arguments = ["--config", "jobs/configs/demo.toml", "--set", f"store.root={tmp_path}"]
    message = refusal(arguments, [], monkeypatch, capsys)
    assert "recsae stage ingest" in message and no_ray == []


def test_a_served_night_is_written_down_in_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ray: list[str]
) -> None:
    made = commit_all(config_at(tmp_path))
    written: list[tuple[str, str, list[str]]] = []

    class Made:
        def __init__(self, config: Config, night: object) -> None:
            pass

        def publish(self) -> dict[str, object]:
            return {"night": "n1", "fingerprints": {name: one.fingerprint for name, one in made.items()}}

        def committed(self, name: str) -> Committed:
            return made[name]

        def expected_seconds(self, name: str) -> float | None:
            return None

    monkeypatch.setattr("recsae.pipeline.runner.Pipeline", Made)
    monkeypatch.setattr("recsae.cli.render.dictionary.print_dictionary", lambda current, root: None)
    monkeypatch.setattr(
        "recsae.observability.mlflow.check", lambda config: written.append(("checked", config.name, []))
    )
    monkeypatch.setattr(
        "recsae.observability.mlflow.log_night",
        lambda config, night, stages: written.append((night, config.name, list(stages))),
    )
    monkeypatch.setattr(sys, "argv", ["recsae", "--config", str(REPOSITORY / "jobs/configs/demo.toml")])
    main(["publish"])
    assert written == [("checked", "demo", []), ("n1", "demo", list(STAGES))]


def test_a_submitted_job_refuses_a_relative_store(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('name = "shop"\n[store]\nroot = "runs"\n')
    ended = subprocess.run(
        [sys.executable, "-m", "jobs.publish", "--config", str(config)],
        env={**os.environ, "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("recsae: store.root = runs is relative")


def test_the_demo_says_what_it_will_do_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recsae", "--set", f"store.root={tmp_path}", "--set", "sae.num_latent=8"])
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and "unknown key sae.num_latent" in said[-1]
    assert said[0].startswith("Runs every stage on this machine") and "--config FILE" in said[1]
