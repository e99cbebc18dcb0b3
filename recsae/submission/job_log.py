"""Follows one job to its end: its log as it grows, across broken connections, and its final status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from recsae.submission.jobs import JobDetails, JobServer
from recsae.submission.retry import reach

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
LOOK = 20.0
"""Seconds without a line of log after which the server is asked whether the job still runs: a connection to a machine
that is gone may stay open for ever."""
POLL = 1.0
"""Seconds between a log that closed and the next look at a job that runs on."""


def ended(job: JobDetails) -> bool:
    return str(job.status) in ENDED


class Watch:
    """One job's log, each character shown once however often the connection breaks."""

    def __init__(
        self, server: JobServer, job_id: str, show: Callable[[str], None], pause: Callable[[float], None], look: float
    ) -> None:
        self.server = server
        self.job_id = job_id
        self.show = show
        self.pause = pause
        self.look = look
        self._shown = 0

    def to_the_end(self, tell: Callable[[str], None]) -> JobDetails | None:
        """What became of the job, once it has ended; None where the server has forgotten it, as a new head has.

        Raises NightStopped where the server stays away.
        """
        while True:
            job = reach(self._follow, self.pause, tell)
            if job is None or ended(job):
                return job
            self.pause(POLL)

    def _follow(self) -> JobDetails | None:
        try:
            asyncio.run(self._tail())
        except Exception:
            # The log of a lost node cannot be read any more, but what became of the job can be.
            job = self._look_up()
            if job is None or ended(job):
                return job
            raise
        return self._look_up()

    def _look_up(self) -> JobDetails | None:
        try:
            return self.server.get_job_info(self.job_id)
        except RuntimeError as error:
            if "status code 404" in str(error):
                return None
            raise

    async def _tail(self) -> None:
        reading = asyncio.create_task(self._read())
        while True:
            before = self._shown
            done, _ = await asyncio.wait({reading}, timeout=self.look)
            if done:
                return reading.result()
            if self._shown > before:
                continue
            job = await asyncio.to_thread(self._look_up)
            if job is None or ended(job):
                reading.cancel()
                return None

    async def _read(self) -> None:
        """A log that is opened again begins at its first character."""
        read = 0
        async for text in self.server.tail_job_logs(self.job_id):
            new = text[max(self._shown - read, 0) :]
            read += len(text)
            if new:
                self.show(new)
                self._shown += len(new)
