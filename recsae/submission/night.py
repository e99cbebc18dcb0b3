"""Runs a night of stages as separate jobs, in order: those that succeeded are skipped, running ones are awaited, failed
ones are submitted again; the first that fails stops the night.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recsae.errors import BadInput
from recsae.submission.errors import NightStopped
from recsae.submission.job_log import LOOK, POLL, Watch, ended
from recsae.submission.jobs import JobDetails, JobServer, StageJob
from recsae.submission.retry import reach

LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE", "JOB_SUPERVISOR_ACTOR_START_FAILURE")
"""How a job ends whose driver's node went away: the actor beside the driver died, and no exit code was told."""
LOST_TRIES = 3
"""Times that one stage is submitted again for a lost node."""


@dataclass(frozen=True)
class NightJobs:
    """The jobs of one night, and what it may use of the outside."""

    server: JobServer
    jobs: Sequence[StageJob]
    pause: Callable[[float], None]
    show: Callable[[str], None]
    """Takes pieces of jobs' logs."""
    tell: Callable[[str], None]
    """Takes what the submitter itself has to say."""
    look: float = LOOK

    def run(self) -> None:
        """Bring every job to success. Raises NightStopped at the first that fails, BadInput where another night of the
        run, or the same stage with another config, is under way."""
        for job in self.jobs:
            self._bring_to_success(job)

    def _bring_to_success(self, job: StageJob) -> None:
        lost = 0
        while True:
            found = self._find_or_submit(job)
            if found is None:
                self.tell(f"{job.stage}: succeeded already in this night, skipped")
                return
            done = Watch(self.server, found, self.show, self.pause, self.look).to_the_end(self.tell)
            if done and str(done.status) == "SUCCEEDED":
                self.tell(f"{job.stage}: done ({found})")
                return
            if done and not _is_lost(done):
                sentence = f"{job.stage}: job {found} {_end(done)}; the same command goes on at this stage"
                raise NightStopped(sentence, done.driver_exit_code)
            lost += 1
            if lost > LOST_TRIES:
                raise NightStopped(
                    f"{job.stage}: job {found} lost its node, the {lost}th time in a row; the same command goes on at "
                    "this stage"
                )
            self.tell(f"{job.stage}: job {found} lost its node; submitting it again")

    def _find_or_submit(self, job: StageJob) -> str | None:
        """The id of the job to wait for; None where it has succeeded.

        Of two submitters that find nothing, Ray refuses the later one's id, and that one looks again.
        """
        while True:
            listed = reach(self.server.list_jobs, self.pause, self.tell)
            self._refuse_another_night(listed)
            tries = {
                number: one for one in listed if (number := job.number(one.submission_id or "")) and _is_ours(one, job)
            }
            if any(str(one.status) == "SUCCEEDED" and _same(one, job) for one in tries.values()):
                return None
            running = [one for _, one in sorted(tries.items()) if not ended(one)]
            if running:
                one = running[0]
                assert one.submission_id is not None
                if not _same(one, job):
                    raise BadInput(
                        f"job {one.submission_id} runs with another config; wait for its end, or stop it with "
                        f"`ray job stop {one.submission_id}`"
                    )
                self.tell(f"{job.stage}: waiting for job {one.submission_id}, {str(one.status).lower()}")
                return one.submission_id
            number = max((job.number(one.submission_id or "") or 0 for one in listed), default=0) + 1
            if self._submit(job, number):
                return job.submission_id(number)
            self.pause(POLL)

    def _submit(self, job: StageJob, number: int) -> bool:
        """Whether the id was free. An answer that was lost looks like one that was taken, and is: by ourselves."""

        def ask() -> bool:
            try:
                self.server.submit_job(**job.request(number))
            except ValueError as error:  # what Ray checks before it asks: the size of the working directory
                raise BadInput(f"submit: Ray refuses the job of {job.stage} ({_last_line(error)})") from None
            except RuntimeError as error:
                if "already exists" in str(error):
                    return False
                if re.search(r"status code 4\d\d", str(error)):
                    raise BadInput(f"submit: Ray refuses the job of {job.stage} ({_last_line(error)})") from None
                raise
            return True

        submitted = reach(ask, self.pause, self.tell)
        if submitted:
            self.tell(f"{job.stage}: submitted as {job.submission_id(number)}")
        return submitted

    def _refuse_another_night(self, listed: Sequence[JobDetails]) -> None:
        """Raises BadInput where a job of this run is under way that is none of this night's."""
        ours = self.jobs[0]
        stages = {job.stage for job in self.jobs}
        for one in listed:
            facts = one.metadata or {}
            if ended(one) or facts.get("run") != ours.run:
                continue
            if facts.get("night") != ours.night or facts.get("stage") not in stages:
                raise BadInput(
                    f"job {one.submission_id} of night {facts.get('night')} of {ours.run} is "
                    f"{str(one.status).lower()}; wait for its end, or stop it with `ray job stop {one.submission_id}`"
                )


def _is_ours(one: JobDetails, job: StageJob) -> bool:
    return (one.metadata or {}).get("stage") == job.stage


def _same(one: JobDetails, job: StageJob) -> bool:
    return (one.metadata or {}).get("asked") == job.asked


def _is_lost(done: JobDetails) -> bool:
    error = getattr(done.error_type, "value", done.error_type)
    return str(done.status) == "FAILED" and done.driver_exit_code is None and error in LOST


def _end(done: JobDetails) -> str:
    if str(done.status) == "STOPPED":
        return "was stopped"
    if done.driver_exit_code is not None:
        return f"failed with exit status {done.driver_exit_code}, its log is above"
    return f"failed ({(done.message or 'Ray gives no reason').strip().splitlines()[0].rstrip('.')})"


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].rstrip(".")
