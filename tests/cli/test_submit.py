"""The command line of submission: the night's label, what is refused before a cluster is asked, how it ends."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import pytest

from recsae.cli import submit
from recsae.cli.main import main
from recsae.config.loader import load
from recsae.errors import BadInput
from recsae.pipeline.stages import STAGES
from tests.submission.job_server import FakeServer, Job, failed

REPOSITORY = Path(__file__).parents[2]
DEMO = "jobs/configs/demo.toml"


def at(hour: int, zone: int) -> datetime.datetime:
    return datetime.datetime(2026, 11, 25, hour, tzinfo=datetime.timezone(datetime.timedelta(hours=zone)))


@pytest.mark.parametrize(
    ("hour", "zone", "night"), [(0, 0, "2026-11-25"), (1, 9, "2026-11-24"), (23, -5, "2026-11-26")]
)
def test_tonight_is_the_date_in_utc(hour: int, zone: int, night: str) -> None:
    assert submit.night_label(None, lambda: at(hour, zone)) == night


@pytest.mark.parametrize("given", ["tonight", "2026-13-01", "20261125", "", "2026-11-25; x"])
def test_a_night_is_a_date(given: str) -> None:
    with pytest.raises(BadInput, match=r"^--night "):
        submit.night_label(given, lambda: at(0, 0))


def planned(*overrides: str, path: str = DEMO) -> list[str]:
    config = load(path, list(overrides))
    return [job.command for job in submit.plan(config, path, list(overrides), "2026-11-25", ["ingest", "publish"])]


def test_a_relative_store_is_refused_before_anything_is_submitted() -> None:
    with pytest.raises(BadInput, match=r"store\.root = runs is relative"):
        planned()


def test_a_stage_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match=r"submit\.stages\.lable: there is no such stage; choose among ingest"):
        planned("store.root=/data", "submit.stages.lable.gpus=1")


def test_a_config_that_travels_is_named_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert f"--config {DEMO} " in planned("store.root=/data", path=str(REPOSITORY / DEMO))[0]
    elsewhere = tmp_path / "x.toml"
    elsewhere.write_text('name = "x"\nstore.root = "/data"\n')
    assert planned(path=str(elsewhere))[0].endswith(f"--config {elsewhere}")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(submit, "job_server", lambda: fake)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return fake


def run(monkeypatch: pytest.MonkeyPatch, *more: str) -> int | str | None:
    command = ["submit", "--config", DEMO, "--set", "store.root=/data", "--night", "2026-11-25", *more]
    monkeypatch.setattr(sys, "argv", command)
    try:
        main(["submit"])
    except SystemExit as ended:
        return ended.code
    return 0


def test_all_stages_and_then_publish(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch) == 0
    stages = [asked["metadata"]["stage"] for asked in server.requests]
    assert stages == [*STAGES, "publish"]
    assert all(f"-m jobs.{stage} " in asked["entrypoint"] for stage, asked in zip(stages, server.requests, strict=True))


def test_nightly_is_one_job(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--nightly") == 0
    assert [asked["submission_id"] for asked in server.requests] == ["recsae-demo-2026-11-25-nightly"]


@pytest.mark.parametrize(("told", "status"), [(2, 2), (3, 3), (1, 1), (-9, 1), (143, 1)])
def test_a_failed_stage_ends_in_one_sentence_and_a_status_that_says_whether_to_try_again(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: int, status: int
) -> None:
    def ended(job: Job) -> None:
        failed(job)
        job.driver_exit_code = told

    server.ends = {"sae": [ended]}
    assert run(monkeypatch) == status
    message = capsys.readouterr().err
    assert message.startswith("recsae: sae: job recsae-demo-2026-11-25-sae failed") and message.count("\n") == 1


def test_a_refused_token_ends_in_one_sentence_that_does_not_show_it(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray.exceptions import AuthenticationError

    server.breaks = [AuthenticationError("token 0123456789 is wrong")]
    assert run(monkeypatch) == 2
    message = capsys.readouterr().err
    assert message.startswith("recsae: the job server refuses the token") and "0123456789" not in message


def test_an_interrupt_says_how_to_go_on(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(job: object) -> None:
        raise KeyboardInterrupt

    server.ends = {"ingest": [interrupt]}
    assert run(monkeypatch) == 130
    assert "the jobs go on" in capsys.readouterr().err
    assert server.jobs["recsae-demo-2026-11-25-ingest"].status == "PENDING"
