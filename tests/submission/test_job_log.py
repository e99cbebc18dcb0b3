"""A job's log over broken connections, and what became of the job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from recsae.submission.errors import NightStopped
from recsae.submission.job_log import LogFollower
from tests.submission.job_server import FakeServer, Job, succeeded

Tail = Callable[[Job], AsyncIterator[str]]


class Scripted(FakeServer):
    """A server of one job, whose log connections go as written, one after the other."""

    def __init__(self, *tails: Tail) -> None:
        super().__init__(jobs={"one": Job("one", "RUNNING", {"stage": "sae"})})
        self.tails = list(tails)

    def tail_job_logs(self, job_id: str, /) -> AsyncIterator[str]:
        return self.tails.pop(0)(self.jobs[job_id])


def watched(server: FakeServer, status_check: float = 5.0) -> tuple[str, Job | None]:
    shown: list[str] = []
    job = LogFollower(server, "one", shown.append, lambda _: None, status_check).follow(lambda _: None)
    return "".join(shown), job  # type: ignore[return-value]


def test_a_log_that_breaks_off_is_shown_once() -> None:
    async def breaks(job: Job) -> AsyncIterator[str]:
        yield "first\nsec"
        raise aiohttp.ServerDisconnectedError

    async def again(job: Job) -> AsyncIterator[str]:
        for piece in ("fir", "st\nsecond\n", "third\n"):
            yield piece
        succeeded(job)

    shown, job = watched(Scripted(breaks, again))
    assert shown == "first\nsecond\nthird\n"
    assert job and job.status == "SUCCEEDED"


def test_a_log_that_closes_early_is_opened_again() -> None:
    async def closes(job: Job) -> AsyncIterator[str]:
        yield "a\n"

    async def again(job: Job) -> AsyncIterator[str]:
        yield "a\nb\n"
        succeeded(job)

    assert watched(Scripted(closes, again))[0] == "a\nb\n"


def test_the_end_is_told_though_the_log_went_with_its_node() -> None:
    async def gone(job: Job) -> AsyncIterator[str]:
        yield "a\n"
        job.status = "FAILED"
        raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    shown, job = watched(Scripted(gone))
    assert shown == "a\n" and job and job.status == "FAILED"


def test_a_connection_that_stays_open_for_ever_does_not_hold_the_night() -> None:
    async def silent(job: Job) -> AsyncIterator[str]:
        yield "a\n"
        succeeded(job)
        await asyncio.Event().wait()

    shown, job = watched(Scripted(silent), status_check=0.01)
    assert shown == "a\n" and job and job.status == "SUCCEEDED"


def test_a_job_that_the_server_forgot_is_none() -> None:
    async def forgotten(job: Job) -> AsyncIterator[str]:
        server.jobs.clear()
        raise aiohttp.ClientConnectionError
        yield ""

    server = Scripted(forgotten)
    assert watched(server) == ("", None)


def test_a_server_that_stays_away_stops_the_night() -> None:
    async def away(job: Job) -> AsyncIterator[str]:
        server.breaks.append(ConnectionError())
        raise ConnectionError
        yield ""

    server = Scripted(*[away] * 100)
    with pytest.raises(NightStopped):
        watched(server)
