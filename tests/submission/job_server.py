"""A job server in memory: jobs end as the test says, connections break when it says, and time is only counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsae.config.submit import EntrypointConfig
from recsae.submission.jobs import StageJob
from recsae.submission.night import NightJobs


@dataclass
class Job:
    submission_id: str | None
    status: str
    metadata: dict[str, str] | None
    message: str | None = None
    error_type: str | None = None
    driver_exit_code: int | None = None
    log: str = ""


def lost(job: Job) -> None:
    job.status, job.error_type, job.message = "FAILED", "JOB_SUPERVISOR_ACTOR_DIED", "Job supervisor actor died: node"


def failed(job: Job) -> None:
    job.status, job.error_type, job.driver_exit_code = "FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", 2


def succeeded(job: Job) -> None:
    job.status, job.driver_exit_code = "SUCCEEDED", 0


@dataclass
class FakeServer:
    """Ends each job, once it has been followed, as `ends` says for its stage: one outcome a try, then success."""

    ends: dict[str, list[Callable[[Job], None]]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    breaks: list[Exception | None] = field(default_factory=list)
    """What the next calls raise, in turn."""
    before_submit: Callable[[FakeServer], None] | None = None
    """Called once, between a listing and the submission that follows it."""

    def _may_break(self) -> None:
        error = self.breaks.pop(0) if self.breaks else None
        if error:
            raise error

    def list_jobs(self) -> Sequence[Job]:
        self._may_break()
        return list(self.jobs.values())

    def submit_job(self, **request: Any) -> str:
        self._may_break()
        if self.before_submit:
            other, self.before_submit = self.before_submit, None
            other(self)
        name: str = request["submission_id"]
        if name in self.jobs:
            raise RuntimeError(f"Request failed with status code 500: … Job with submission_id {name} already exists.")
        self.requests.append(request)
        self.jobs[name] = Job(name, "PENDING", request["metadata"], log=f"log of {name}\n")
        return name

    def get_job_info(self, job_id: str, /) -> Job:
        self._may_break()
        if job_id not in self.jobs:
            raise RuntimeError(f"Request failed with status code 404: Job {job_id} does not exist.")
        return self.jobs[job_id]

    async def tail_job_logs(self, job_id: str, /) -> AsyncIterator[str]:
        self._may_break()
        job = self.jobs[job_id]
        for letter in job.log:
            yield letter
        if job.status in ("PENDING", "RUNNING"):
            outcomes = self.ends.get((job.metadata or {})["stage"], [])
            (outcomes.pop(0) if outcomes else succeeded)(job)


def stage_jobs(*stages: str, night: str = "2026-11-25", config_hash: str = "config-1") -> list[StageJob]:
    return [StageJob("demo", night, stage, f"run {stage}", EntrypointConfig(), config_hash) for stage in stages]


class NightRun:
    """A night on a fake server, and all that it messages and waited."""

    def __init__(self, server: FakeServer, jobs: list[StageJob]) -> None:
        self.messages: list[str] = []
        self.log = ""
        self.waited = 0.0
        self.night = NightJobs(server, jobs, self._pause, self._show, self.messages.append, status_check=5.0)

    def _pause(self, seconds: float) -> None:
        self.waited += seconds
        assert self.waited < 10_000, "waits for ever"

    def _show(self, text: str) -> None:
        self.log += text
