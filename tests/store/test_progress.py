"""The lease and the rows: one holder, a stale one is replaced, and finished rows come back in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from recsae.store.filesystem import Folder
from recsae.store.progress import Lease, Progress

SECONDS = 60.0
ROWS = pa.schema([("key", pa.string()), ("value", pa.int32())])


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


Contend = Callable[..., Lease]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "_progress"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wall() -> Clock:
    """The clock on the wall, which no lease may believe."""
    return Clock()


@pytest.fixture
def contend(folder: Folder, clock: Clock, wall: Clock) -> Iterator[Contend]:
    """`contend()` makes another lease on the same stage; all are let go at the end."""
    made: list[Lease] = []

    def make(seconds: float = SECONDS) -> Lease:
        made.append(Lease(folder, seconds, clock=wall, elapsed=clock))
        return made[-1]

    yield make
    for lease in made:
        lease.release()


def table(*keys: str) -> pa.Table:
    return pa.table({"key": list(keys), "value": list(range(len(keys)))})


def test_the_first_holds_and_the_second_waits(contend: Contend) -> None:
    first, second = contend(), contend()
    assert not first.held()
    assert first.try_acquire() and first.held()
    assert not second.try_acquire() and not second.held()
    assert first.held()


def test_of_many_contenders_one_gets_a_free_lease_and_one_a_stale_one(contend: Contend, clock: Clock) -> None:
    def winners() -> int:
        leases = [contend() for _ in range(6)]
        if clock.now > 1000:
            assert not any(lease.try_acquire() for lease in leases)
            clock.now += SECONDS + 1
        start = threading.Barrier(6)
        won: list[bool] = []

        def work(lease: Lease) -> None:
            start.wait()
            won.append(lease.try_acquire())

        threads = [threading.Thread(target=work, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 6 and sum(lease.held() for lease in leases) == 1
        return won.count(True)

    assert winners() == 1
    clock.now += 1
    assert winners() == 1


def test_a_lease_is_stale_only_after_its_seconds_and_renewing_keeps_it(contend: Contend, clock: Clock) -> None:
    first, second = contend(), contend()
    assert first.try_acquire()
    assert not second.try_acquire()
    clock.now += SECONDS
    assert not second.try_acquire() and second.heard == 0
    first.renew()
    clock.now += SECONDS
    assert not second.try_acquire() and second.heard == 1
    clock.now += SECONDS
    assert not second.try_acquire()
    clock.now += 1
    assert second.try_acquire()


def test_silence_counts_only_while_the_contender_looks_on(contend: Contend, clock: Clock) -> None:
    assert contend().try_acquire()
    clock.now += 10 * SECONDS
    late = contend()
    assert not late.try_acquire(), "the holder may have beaten an instant before"
    clock.now += SECONDS + 1
    assert late.try_acquire()


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_wall_clock_that_jumps_neither_costs_a_lease_nor_keeps_it(
    contend: Contend, clock: Clock, wall: Clock, jump: float
) -> None:
    first, second = contend(), contend()
    assert first.try_acquire() and not second.try_acquire()
    wall.now += jump
    first.renew()
    assert not second.try_acquire()
    wall.now -= 2 * jump
    clock.now += SECONDS
    assert not second.try_acquire(), "a day on the wall is no day of silence"
    clock.now += 1
    assert second.try_acquire(), "a beat of tomorrow is silent today"


def test_patience_is_the_holders_and_not_the_contenders(contend: Contend, clock: Clock) -> None:
    assert contend(SECONDS).try_acquire()
    hasty = contend(1.0)
    assert not hasty.try_acquire()
    clock.now += SECONDS / 2
    assert not hasty.try_acquire()


def test_after_a_takeover_the_old_holder_neither_holds_nor_writes(
    folder: Folder, contend: Contend, clock: Clock
) -> None:
    old, new, third = contend(), contend(), contend()
    old_progress, new_progress = Progress(folder, old), Progress(folder, new)
    assert old.try_acquire()
    old_progress.append("names", table("a"))
    assert not new.try_acquire()
    clock.now += SECONDS + 1
    assert new.try_acquire()

    old_progress.append("names", table("from the old holder"))
    new_progress.append("names", table("b"))
    assert new_progress.rows("names", ROWS)["key"].to_pylist() == ["a", "b"]

    old.renew()
    old.release()
    assert new.held() and not old.held() and not third.try_acquire()


def test_release_frees_at_once_and_a_late_beat_does_not_undo_it(contend: Contend) -> None:
    first, second = contend(), contend()
    assert first.try_acquire()
    first.release()
    first.renew()
    assert not first.held()
    assert second.try_acquire()


def test_releasing_what_is_not_held_changes_nothing(contend: Contend) -> None:
    first, second = contend(), contend()
    assert first.try_acquire()
    second.release()
    assert first.held() and not second.try_acquire()


def test_the_heart_beats_and_outlives_a_store_that_fails_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    beats = threading.Semaphore(0)
    put = Folder.put
    failed: list[str] = []

    def put_or_fail(self: Folder, name: str, content: bytes) -> None:
        if not failed:
            failed.append(name)
            raise OSError("the store is away")
        put(self, name, content)
        beats.release()

    monkeypatch.setattr(Folder, "put", put_or_fail)
    lease = Lease(folder, 0.2)
    assert lease.try_acquire()
    assert beats.acquire(timeout=20) and beats.acquire(timeout=20)
    assert failed and lease.held()
    lease.release()


def test_a_lease_file_half_written_by_a_killed_holder_stops_nobody(
    folder: Folder, contend: Contend, clock: Clock
) -> None:
    assert contend().try_acquire()
    Path(folder.path, "lease/lease-000000.json#1").write_text('{"hol')
    next_one = contend()
    assert not next_one.try_acquire()
    clock.now += SECONDS + 1
    assert next_one.try_acquire()


def test_rows_come_back_in_the_order_in_which_they_were_appended(folder: Folder, contend: Contend) -> None:
    lease = contend()
    progress = Progress(folder, lease)
    assert progress.rows("names", ROWS).equals(ROWS.empty_table())
    assert lease.try_acquire()
    for number in range(12):
        progress.append("names", table(f"{number}a", f"{number}b"))
    progress.append("verdicts", table("other"))
    kept = progress.rows("names", ROWS)
    assert kept["key"].to_pylist() == [f"{number}{letter}" for number in range(12) for letter in "ab"]
    assert kept.schema.equals(ROWS)
    assert progress.rows("verdicts", ROWS).num_rows == 1


def test_a_later_attempt_goes_on_where_the_earlier_was_killed(folder: Folder, contend: Contend, clock: Clock) -> None:
    killed, next_one = contend(), contend()
    assert killed.try_acquire()
    Progress(folder, killed).append("names", table("a"))
    Path(folder.path, "names/00000001-abcdef01.parquet#1").write_bytes(b"PAR1 and no more")
    assert not next_one.try_acquire()
    clock.now += SECONDS + 1
    assert next_one.try_acquire()
    progress = Progress(folder, next_one)
    assert progress.rows("names", ROWS)["key"].to_pylist() == ["a"]
    progress.append("names", table("b"))
    assert progress.rows("names", ROWS)["key"].to_pylist() == ["a", "b"]


def test_without_the_lease_nothing_is_appended(folder: Folder, contend: Contend) -> None:
    progress = Progress(folder, contend())
    progress.append("names", table("a"))
    assert progress.rows("names", ROWS).num_rows == 0
