"""Lines of a job: as before for people, one JSON object each for machines, and no secret in either."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recsae.errors import BadInput
from recsae.observability import context
from recsae.observability.log_format import FORMAT, lines
from recsae.store.run_store import RunStore

REPOSITORY = Path(__file__).parents[2]
SECRET = "hunter22secret"
log = logging.getLogger("recsae.made.up")

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORMAT, "json")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret to keep, and what is asked of an error that nobody caught as it was."""
    monkeypatch.delenv(FORMAT, raising=False)
    monkeypatch.setenv("RECSAE_ENDPOINT_KEY", SECRET)
    monkeypatch.setattr(context, "_work", context.Work())  # what another test's threads left
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_for_people_a_line_is_the_time_and_the_message(capsys: Captured) -> None:
    with lines():
        log.info("ingest: %d events", 12)
    (line,) = capsys.readouterr().out.splitlines()
    clock, _, message = line.partition(" ")
    assert message == "ingest: 12 events" and len(clock) == 8 and clock[2] == clock[5] == ":"


@pytest.mark.usefixtures("as_json")
def test_for_machines_a_line_says_when_who_and_at_what(capsys: Captured, tmp_path: Path) -> None:
    store = RunStore(str(tmp_path), "shop")
    attempt = store.attempt("ingest", "f1", store.lease("ingest", "f1", 20))
    with lines():
        log.info("before")
        with context.at_work("shop", "ingest"):
            context.attempt_started(attempt)
            log.warning("café %s", "☕")
        log.info("after")
    before, within, after = objects(capsys.readouterr().out)
    assert within["time"].endswith("+00:00") and within["time"][10] == "T"
    assert (within["level"], within["logger"], within["message"]) == ("WARNING", "recsae.made.up", "café ☕")
    assert (within["run"], within["stage"]) == ("shop", "ingest")
    assert within["attempt"] == attempt.data.path.rpartition("/")[2]
    assert before["message"] == "before" and before["run"] is None is before["attempt"]
    assert after["message"] == "after" and after["stage"] is None


@pytest.mark.usefixtures("as_json")
def test_printed_lines_and_those_of_workers_become_objects_too(capsys: Captured) -> None:
    with lines(), context.at_work("shop", "recommender"):
        print("\x1b[36m(RayTrainWorker pid=7, ip=10.0.0.2)\x1b[0m recommender: epoch 1")
        print("(raylet) a node left")
        print("one", end=" ")
        print("line")
        print()
        print("recsae: mend it", file=sys.stderr)
        print("no end", end="", file=sys.stderr)
    captured = capsys.readouterr()
    worker, raylet, printed = objects(captured.out)
    assert (worker["logger"], worker["worker"]) == ("ray", "RayTrainWorker pid=7, ip=10.0.0.2")
    assert (worker["message"], worker["stage"], worker["level"]) == ("recommender: epoch 1", "recommender", "INFO")
    assert (raylet["worker"], raylet["message"]) == ("raylet", "a node left")
    assert (printed["logger"], printed["message"]) == ("stdout", "one line") and "worker" not in printed
    sentence, unended = objects(captured.err)
    assert (sentence["level"], unended["level"]) == ("ERROR", "WARNING")
    assert unended["message"] == "no end"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_carries_a_secret(form: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv(FORMAT, form)
    with lines():
        log.info("store.root: s3://user:%s@bucket/x cannot be read", SECRET)
        print(f"(f pid=1) refused the key {SECRET}")
        print(f"recsae: labels.endpoint.url = https://u:{SECRET}@host/v1", file=sys.stderr)
        try:
            raise OSError(f"s3://u:{SECRET}@bucket")
        except OSError:
            log.exception("it broke")
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err
    assert captured.out.count("s3://bucket") >= 2 and "https://host/v1" in captured.err


@pytest.mark.parametrize("form", ["text", "json"])
def test_text_of_a_catalogue_cannot_break_a_line(form: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv(FORMAT, form)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest would keep half a letter and hand it on
    title = "Alien\n18:00:00 all is well\r\x1b[2K\x1b]0;x\x07\u2028\u202e\ud800\x85"
    with lines():
        log.info("title %s", title)
        print("(f pid=1) \x1b[2Kgone\x07")
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2 and out.count("\n") == 2
    assert out.encode() and not {"\x1b", "\x07", "\r", "\u2028", "\u202e", "\x85"} & set(out)


@pytest.mark.usefixtures("as_json")
def test_an_error_is_one_object_with_its_traceback(capsys: Captured) -> None:
    with lines():
        try:
            raise KeyError("x")
        except KeyError:
            log.exception("it broke")
    (told,) = objects(capsys.readouterr().out)
    assert told["message"] == "it broke" and told["exception"].endswith("\nKeyError: 'x'")


def test_what_was_there_before_is_there_after(capsys: Captured) -> None:
    before, handlers = (sys.stdout, sys.stderr), list(logging.getLogger().handlers)
    with pytest.raises(ValueError), lines():
        raise ValueError
    assert (sys.stdout, sys.stderr) == before and logging.getLogger().handlers == handlers


def test_a_format_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORMAT, "xml")
    with pytest.raises(BadInput, match=f"{FORMAT} = xml: unknown format; set it to text or json"), lines():
        pass


UNCAUGHT = """
import sys
from recsae.cli.command import ending
with ending("x"):
    raise RuntimeError("lost s3://k:" + sys.argv[1] + "@bucket")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_that_nobody_caught_ends_the_process_without_a_secret(form: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", UNCAUGHT, SECRET],
        env={**os.environ, FORMAT: form},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and SECRET not in ended.stderr + ended.stdout
    assert "RuntimeError: lost s3://bucket" in ended.stderr
    if form == "json":
        (told,) = objects(ended.stderr)
        assert told["level"] == "CRITICAL" and told["exception"].startswith("Traceback")


def test_bad_input_is_one_object_in_a_job(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "jobs.ingest", "--config", "missing.toml"],
        env={**os.environ, FORMAT: "json"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    (told,) = objects(ended.stderr)
    assert ended.returncode == 2 and told["message"].startswith("recsae: missing.toml: no such config file")
