"""Two nights of one run: the second is refused while the first lives, and takes over when it has died."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsae.errors import BadInput, NotServed
from recsae.pipeline.run_lock import hold_run_lock, refuse_taken_over
from recsae.store.filesystem import Folder
from recsae.store.progress import Lease

SECONDS = 60.0


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lease(folder: Path, clock: Clock) -> Lease:
    return Lease(Folder(str(folder)), SECONDS, clock=lambda: 1e9, elapsed=clock)


def test_a_second_night_is_refused_in_one_sentence_while_the_first_beats(tmp_path: Path) -> None:
    clock, entered = Clock(), []
    first = lease(tmp_path, clock)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        first.renew()

    with hold_run_lock(first, "shop"):
        with (
            pytest.raises(BadInput, match=r"another night of run shop is at work since 2001-09-09 01:46 UTC"),
            hold_run_lock(lease(tmp_path, clock), "shop", sleep),
        ):
            entered.append(1)
        refuse_taken_over(first)
    assert not entered and clock.now < SECONDS


def test_a_night_whose_driver_died_is_taken_over_after_its_silence(tmp_path: Path) -> None:
    clock = Clock()
    dead = lease(tmp_path, clock)
    assert dead.try_acquire()

    def sleep(seconds: float) -> None:
        clock.now += seconds

    second = lease(tmp_path, clock)
    with hold_run_lock(second, "shop", sleep):
        assert second.held() and SECONDS < clock.now < 1.2 * SECONDS
        with pytest.raises(NotServed, match="taken over"):
            refuse_taken_over(dead)
    assert not second.held()
    refuse_taken_over(None)


def test_a_night_that_failed_lets_go_at_once(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="half way"), hold_run_lock(lease(tmp_path, clock), "shop"):
        raise ValueError("half way")
    assert lease(tmp_path, clock).try_acquire() and clock.now == 0
