"""What a phase, a stage and a night say of the time left, and how a worker's phase reaches the driver."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from recsae.observability import progress
from recsae.observability.progress import RELAY_PREFIX, Phase, StageProgress, State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr(progress, "state", State())
    return clock


def current() -> Phase:
    assert progress.state.phase
    return progress.state.phase


def test_a_phase_counts_in_its_own_units(clock: Clock) -> None:
    progress.phase("free names", 50, "latents", steps=1000)
    progress.wait_for("starting the language model")
    clock.now = 107
    assert current().note == "starting the language model" and current().rate(clock.now) is None
    clock.now = 110
    progress.wait_for("")
    for answers in (100, 100, 19):
        progress.advance(answers)
    clock.now = 115
    assert current().done == pytest.approx(10.95) and current().note == ""
    assert current().rate(115) == pytest.approx(2.19)  # in 5 s since the engine stood
    assert current().seconds_left(115) == pytest.approx(39.05 / 2.19)


def test_there_is_no_estimate_before_enough_is_known(clock: Clock) -> None:
    progress.phase("shards", 10)
    clock.now = 130
    progress.advance()
    progress.advance()
    assert current().rate(clock.now) is None  # two steps
    progress.advance()
    assert current().seconds_left(clock.now) == pytest.approx(70)
    progress.phase("shards", 10)
    for _ in range(9):
        progress.advance()
    clock.now += 4
    assert current().seconds_left(clock.now) is None  # four seconds


def test_what_was_done_before_does_not_count_for_the_rate(clock: Clock) -> None:
    progress.phase("judging", 10, "latents", done=5, steps=20)
    for _ in range(4):
        progress.advance()
    clock.now += 10
    assert current().done == 6 and current().seconds_left(clock.now) == pytest.approx(40)


def test_a_stage_has_time_left_while_it_is_not_late() -> None:
    assert StageProgress(60).seconds_left(100) == 60
    assert StageProgress(60, started_at=80).seconds_left(100) == 40
    assert StageProgress(60, started_at=30).seconds_left(100) is None
    assert StageProgress(None, started_at=30).seconds_left(100) is None
    assert StageProgress(None, started_at=30, ended=True).seconds_left(100) == 0


def test_a_night_has_time_left_if_every_stage_has(clock: Clock) -> None:
    expected = {"ingest": None, "sae": 60.0, "labels": 30.0}

    @contextlib.contextmanager
    def display() -> Iterator[None]:
        yield

    with progress.displayed(display), progress.at_night("shop", list(expected), expected.get):
        night = progress.state.night
        assert night
        progress.stage_done("ingest")  # by an earlier attempt
        with progress.at_stage("sae"):
            clock.now += 10
            assert night.seconds_left(clock.now) == 80
            clock.now += 100
            assert night.seconds_left(clock.now) is None  # later than the night before
        assert night.seconds_left(clock.now) == 30 and night.stages["sae"].ended


def test_a_display_begins_with_the_work_and_ends_with_the_night() -> None:
    seen = []

    @contextlib.contextmanager
    def display() -> Iterator[None]:
        seen.append("begun")
        yield
        seen.append("ended")

    with progress.displayed(display):
        with progress.at_night("shop", ["sae"], lambda _: None):
            progress.stage_done("sae")
            assert seen == []
        with progress.at_night("shop", ["sae"], lambda _: None):
            with progress.at_stage("sae"):
                progress.phase("training")
            assert seen == ["begun"]
        assert seen == ["begun", "ended"]
        progress.phase("nothing to show this")
    assert seen == ["begun", "ended"]


def test_a_failed_stage_is_not_done() -> None:
    with progress.at_night("shop", ["sae"], lambda _: None):
        with pytest.raises(OSError), progress.at_stage("sae"):
            raise OSError
        assert progress.state.night and not progress.state.night.stages["sae"].ended
    assert progress.state == State()


def test_a_worker_relays_its_phase(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_is_relaying", False)
    monkeypatch.setattr(progress, "_last_relay", 0.0)
    progress.phase("training", 8, "epochs")
    assert capsys.readouterr().out == "" and not progress.relay_due()
    progress.relay()
    progress.phase("training", 8, "epochs", at_most=True)
    clock.now += 2
    assert progress.relay_due()
    progress.reach(1.5, "loss 4.2")
    progress.reach(1.6)  # too soon
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith(RELAY_PREFIX) for line in lines)
    worker, progress.state.phase = current(), None
    clock.now = 1000
    assert progress.take_relayed(lines[-1]) and progress.state.phase is None  # nobody trains
    with progress.from_workers():
        assert progress.take_relayed(lines[-1]) and progress.take_relayed(RELAY_PREFIX + '{"words": ')
        assert not progress.take_relayed("recommender: epoch 1")
    assert (current().name, current().done, current().note) == ("training", 1.5, "loss 4.2")
    assert current().started_at == 998 and worker.started_at == 100
