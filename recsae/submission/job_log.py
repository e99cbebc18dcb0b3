"""Follows one job to its end: its log as it grows, across broken connections, and its final status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from recsae.submission.jobs import JobDetails, JobServer
from recsae.submission.retry import reach

FINAL_STATES = ("SUCCEEDED", "FAILED", "STOPPED")
STATUS_CHECK = 20.0
"""Seconds without log output before the job's status is checked: a connection to a lost node may stay open forever."""
POLL = 1.0
"""Seconds before a closed log of a running job is opened again."""


def is_ended(job: JobDetails) -> bool:
    return str(job.status) in FINAL_STATES


class LogFollower:
    """Follows one job's log and shows each character once, however often the connection breaks."""

    def __init__(
        self,
        server: JobServer,
        job_id: str,
        show: Callable[[str], None],
        pause: Callable[[float], None],
        status_check: float,
    ) -> None:
        self.server = server
        self.job_id = job_id
        self.show = show
        self.pause = pause
        self.status_check = status_check
        self._shown = 0

    def follow(self, notify: Callable[[str], None]) -> JobDetails | None:
        """The job's details once it has ended; None if the server no longer knows it, such as a new head.

        Raises NightStopped if the server stays unreachable.
        """
        while True:
            job = reach(self._follow_once, self.pause, notify)
            if job is None or is_ended(job):
                return job
            self.pause(POLL)

    def _follow_once(self) -> JobDetails | None:
        try:
            asyncio.run(self._tail())
        except Exception:
            # The log of a lost node is gone, but the job's status can still be read.
            job = self._look_up()
            if job is None or is_ended(job):
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
            done, _ = await asyncio.wait({reading}, timeout=self.status_check)
            if done:
                return reading.result()
            if self._shown > before:
                continue
            job = await asyncio.to_thread(self._look_up)
            if job is None or is_ended(job):
                reading.cancel()
                return None

    async def _read(self) -> None:
        """Show new log text; a reopened log starts again at its first character."""
        read = 0
        async for text in self.server.tail_job_logs(self.job_id):
            new = text[max(self._shown - read, 0) :]
            read += len(text)
            if new:
                self.show(new)
                self._shown += len(new)
