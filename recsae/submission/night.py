"""Runs a night's stages as separate jobs, in order: succeeded jobs are skipped, running ones awaited, failed ones
resubmitted; the first failure stops the night.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recsae.errors import BadInput
from recsae.submission.errors import NightStopped
from recsae.submission.job_log import POLL, STATUS_CHECK, LogFollower, is_ended
from recsae.submission.jobs import JobDetails, JobServer, StageJob
from recsae.submission.retry import reach

LOST_NODE_ERRORS = (
    "JOB_SUPERVISOR_ACTOR_DIED",
    "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE",
    "JOB_SUPERVISOR_ACTOR_START_FAILURE",
)
"""Error types of a job that lost its node: the supervisor actor died and there is no exit code."""
MAX_RESUBMISSIONS = 3
"""Resubmissions per stage after lost nodes."""


@dataclass(frozen=True)
class NightJobs:
    """The jobs of one night, with its server, clock and output."""

    server: JobServer
    jobs: Sequence[StageJob]
    pause: Callable[[float], None]
    show: Callable[[str], None]
    """Shows pieces of job logs."""
    notify: Callable[[str], None]
    """Shows the submitter's own messages."""
    status_check: float = STATUS_CHECK

    def run(self) -> None:
        """Run every job until it succeeds. Raises NightStopped at the first failure, and BadInput if another night of
        the run, or the same stage with another config, is already running."""
        for job in self.jobs:
            self._run_job(job)

    def _run_job(self, job: StageJob) -> None:
        lost = 0
        while True:
            found = self._find_or_submit(job)
            if found is None:
                self.notify(f"{job.stage}: succeeded already in this night; skipped")
                return
            done = LogFollower(self.server, found, self.show, self.pause, self.status_check).follow(self.notify)
            if done and str(done.status) == "SUCCEEDED":
                self.notify(f"{job.stage}: done ({found})")
                return
            if done and not _is_lost(done):
                raise NightStopped(
                    f"{job.stage}: job {found} {_describe_end(done)}; run the same command again to resume "
                    "at this stage",
                    done.driver_exit_code,
                )
            lost += 1
            if lost > MAX_RESUBMISSIONS:
                raise NightStopped(
                    f"{job.stage}: job {found} lost its node, the {lost}th time in a row; run the same command again "
                    "to resume at this stage"
                )
            self.notify(f"{job.stage}: job {found} lost its node; resubmitting it")

    def _find_or_submit(self, job: StageJob) -> str | None:
        """The id of the job to wait for; None if it has succeeded.

        If two submitters race, Ray rejects the later one's id, and that submitter looks again.
        """
        while True:
            listed = reach(self.server.list_jobs, self.pause, self.notify)
            self._refuse_another_night(listed)
            tries = {
                number: one
                for one in listed
                if (number := job.number(one.submission_id or "")) and _is_same_stage(one, job)
            }
            if any(str(one.status) == "SUCCEEDED" and _is_same_config(one, job) for one in tries.values()):
                return None
            running = [one for _, one in sorted(tries.items()) if not is_ended(one)]
            if running:
                one = running[0]
                assert one.submission_id is not None
                if not _is_same_config(one, job):
                    raise BadInput(
                        f"job {one.submission_id} runs with another config; wait until it ends, or stop it with "
                        f"`ray job stop {one.submission_id}`"
                    )
                self.notify(f"{job.stage}: waiting for job {one.submission_id}, {str(one.status).lower()}")
                return one.submission_id
            number = max((job.number(one.submission_id or "") or 0 for one in listed), default=0) + 1
            if self._submit(job, number):
                return job.submission_id(number)
            self.pause(POLL)

    def _submit(self, job: StageJob, number: int) -> bool:
        """Whether the id was free. If the server's answer is lost, the retry finds this submitter's own id taken."""

        def submit() -> bool:
            try:
                self.server.submit_job(**job.request(number))
            except ValueError as error:  # Ray's local check of the working directory's size
                raise BadInput(f"submit: Ray rejects the job of {job.stage} ({_last_line(error)})") from None
            except RuntimeError as error:
                if "already exists" in str(error):
                    return False
                if re.search(r"status code 4\d\d", str(error)):
                    raise BadInput(f"submit: Ray rejects the job of {job.stage} ({_last_line(error)})") from None
                raise
            return True

        submitted = reach(submit, self.pause, self.notify)
        if submitted:
            self.notify(f"{job.stage}: submitted as {job.submission_id(number)}")
        return submitted

    def _refuse_another_night(self, listed: Sequence[JobDetails]) -> None:
        """Raise BadInput if a job of this run that does not belong to this night is running."""
        first = self.jobs[0]
        stages = {job.stage for job in self.jobs}
        for one in listed:
            metadata = one.metadata or {}
            if is_ended(one) or metadata.get("run") != first.run:
                continue
            if metadata.get("night") != first.night or metadata.get("stage") not in stages:
                raise BadInput(
                    f"job {one.submission_id} of night {metadata.get('night')} of {first.run} is "
                    f"{str(one.status).lower()}; wait until it ends, or stop it with `ray job stop {one.submission_id}`"
                )


def _is_same_stage(one: JobDetails, job: StageJob) -> bool:
    return (one.metadata or {}).get("stage") == job.stage


def _is_same_config(one: JobDetails, job: StageJob) -> bool:
    return (one.metadata or {}).get("asked") == job.config_hash


def _is_lost(done: JobDetails) -> bool:
    error = getattr(done.error_type, "value", done.error_type)
    return str(done.status) == "FAILED" and done.driver_exit_code is None and error in LOST_NODE_ERRORS


def _describe_end(done: JobDetails) -> str:
    if str(done.status) == "STOPPED":
        return "was stopped"
    if done.driver_exit_code is not None:
        return f"failed with exit status {done.driver_exit_code}, its log is above"
    return f"failed ({(done.message or 'Ray gives no reason').strip().splitlines()[0].rstrip('.')})"


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].rstrip(".")
