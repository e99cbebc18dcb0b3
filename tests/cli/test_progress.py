"""What the display says, in a terminal and in a log, and what it leaves to the log file."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from recsae.cli import progress as display
from recsae.observability.progress import NightProgress, Phase, StageProgress, State

REPOSITORY = Path(__file__).parents[2]


def state(expected: float | None = 60.0) -> State:
    stages = {
        "sae": StageProgress(40, started_at=0, ended=True),
        "labels": StageProgress(expected, started_at=80.0),
        "scores": StageProgress(50.0),
    }
    phase = Phase("free names", 128, "latents", started_at=90.0, done=12, steps=5)
    return State(NightProgress("shop", stages, 20.0, lambda _: None), "labels", phase)


def drawn(shown: State, now: float, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(display.rendered(shown, now))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_terminal_shows_night_stage_and_phase() -> None:
    night, stage, phase = drawn(state(), 100.0)
    assert night.startswith("shop ") and night.rstrip().endswith("1 of 3 stages, 1 min 20 s, about 1 min 30 s left")
    assert stage.startswith("labels ") and stage.rstrip().endswith("20 s, about 40 s left")
    assert phase.startswith("labels: free names ")
    assert phase.rstrip().endswith("12 of 128 latents, 1.2 a second, 1 min 37 s left")
    assert all("━" in line for line in (night, stage, phase))


def test_what_is_not_known_is_not_shown() -> None:
    shown = state(None)
    shown.phase = Phase("tables", started_at=90.0)
    night, stage, phase = drawn(shown, 100.0)
    assert "left" not in night + stage + phase and "━" not in stage + phase
    assert night.rstrip().endswith("1 of 3 stages, 1 min 20 s") and phase.rstrip().endswith("10 s")


def test_a_narrow_terminal_shows_one_line_each() -> None:
    assert len(drawn(state(), 100.0, width=60)) == 3


def test_a_log_line_names_the_phase() -> None:
    assert display.in_words(state(), 100.0) == (
        "labels: free names, 12 of 128 latents, 1.2 a second, 1 min 37 s left, stage 20 s, about 40 s left, "
        "night about 1 min 30 s left"
    )
    assert display.in_words(State(phase=Phase("starting Ray", started_at=98.0)), 100.0) == "starting Ray, 2 s"
    assert display.in_words(State(), 100.0) == ""


def test_a_bound_is_called_one() -> None:
    phase = Phase("training", 8, "epochs", at_most=True, started_at=0.0, done=4, steps=4, note="loss 4.2")
    assert display.in_words(State(stage="recommender", phase=phase), 100.0) == (
        "recommender: training, 4 of 8 epochs, 2.4 a minute, at most 1 min 40 s left, loss 4.2"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (4020, "1 h 07 min")]
)
def test_a_span_of_time(seconds: float, words: str) -> None:
    assert display.span(seconds) == words


JOB = """
import logging, os, sys, time
from recsae.cli.command import ending
from recsae.observability import progress
if len(sys.argv) > 1:
    import recsae.cli.progress as display
    display.LOG_SECONDS = 0.2
log = logging.getLogger("recsae.made.up")
with ending("x"), progress.at_night("shop", ["labels"], lambda _: None):
    print("quick")
    with progress.at_stage("labels"):
        progress.phase("free names", 128, "latents")
        os.write(2, b"[mutex.cc : 2443] RAW: Lock blocking\\n")
        print("(TrainController pid=7) Traceback")
        print("(pid=gcs_server) [2026-11-30 23:48:10,1 E 7 7] gcs_actor_scheduler.cc:1: Failed to kill")
        logging.getLogger("httpx").info("a request")
        print("\\x1b[36m(RayTrainWorker pid=7)\\x1b[0m sae: step 3/9")
        print("(_call pid=8) something is wrong", file=sys.stderr)
        time.sleep(0.7)
        log.info("labels: done")
    print("table")
"""


def check_lines(text: str) -> str:
    """What is shown and what is not; returns the path of the log file, which has all of it."""
    for hidden in ("mutex.cc", "TrainController", "gcs_server", "a request", "RayTrainWorker"):
        assert hidden not in text
    for shown in ("quick", "sae: step 3/9", "(_call pid=8) something is wrong", "labels: done", "table"):
        assert text.count(shown) == 1
    path = text.partition("what libraries write: ")[2].split()[0]
    log = Path(path).read_text()
    Path(path).unlink()
    for line in ("quick", "mutex.cc", "TrainController pid=7) Traceback", "a request", "labels: done"):
        assert line in log
    return log


def test_elsewhere_there_are_lines_with_the_phase(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOB, "fast"],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    check_lines(done.stdout + done.stderr)
    assert done.stdout.count("labels: free names, 0 of 128 latents") in (2, 3)
    assert "\x1b[?25l" not in done.stdout


def test_in_a_terminal_there_is_one_display(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, "-c", JOB], cwd=REPOSITORY, env=environment, stdout=theirs, stderr=theirs
    ) as job:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
        assert job.wait() == 0
    os.close(ours)
    text = b"".join(pieces).decode()
    check_lines(text)
    assert text.count("labels: free names") >= 2  # drawn again and again
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is shown again


def test_json_keeps_everything_in_its_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOB, "fast"],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path), "RECSAE_LOG": "json"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"message": "labels: free names, 0 of 128 latents' in done.stdout and '"stage"' in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "Traceback" in line]
    assert f'"level": "{logging.getLevelName(logging.DEBUG)}"' in line
    assert not list(tmp_path.iterdir())
