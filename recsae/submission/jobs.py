"""The part of Ray's job server that submission uses, and the job request of one stage."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recsae.config.schema import Config
from recsae.config.submit import EntrypointConfig
from recsae.store.filesystem import as_json


class JobDetails(Protocol):
    """A job's details from the job server; `submission_id` is None for a driver that was not submitted as a job."""

    @property
    def submission_id(self) -> str | None: ...
    @property
    def status(self) -> str: ...
    @property
    def message(self) -> str | None: ...
    @property
    def error_type(self) -> str | None: ...
    @property
    def driver_exit_code(self) -> int | None: ...
    @property
    def metadata(self) -> dict[str, str] | None: ...


class JobServer(Protocol):
    """The part of `ray.job_submission.JobSubmissionClient` that is used here."""

    def list_jobs(self) -> Sequence[JobDetails]: ...
    def get_job_info(self, job_id: str, /) -> JobDetails: ...
    def tail_job_logs(self, job_id: str, /) -> AsyncIterator[str]: ...
    def submit_job(
        self,
        *,
        entrypoint: str,
        submission_id: str,
        runtime_env: dict[str, Any],
        metadata: dict[str, str],
        entrypoint_num_cpus: float | None,
        entrypoint_num_gpus: float | None,
        entrypoint_memory: int | None,
        entrypoint_resources: dict[str, float] | None,
        entrypoint_label_selector: dict[str, str] | None,
    ) -> str: ...


@dataclass(frozen=True)
class StageJob:
    """The job of one stage in one night of one run."""

    run: str
    night: str
    stage: str
    command: str
    entrypoint: EntrypointConfig
    config_hash: str
    """A hash of the config without `submit` and `resources`: a job with another hash does not count as this one."""

    def submission_id(self, number: int) -> str:
        """`recsae-demo-2026-11-25-labels`, then `…-labels-2`. Ray rejects duplicates, so each try runs once."""
        stem = f"recsae-{self.run}-{self.night}-{self.stage}"
        return stem if number == 1 else f"{stem}-{number}"

    def number(self, submission_id: str) -> int | None:
        """The try number in the id; None if the id belongs to another job."""
        found = re.fullmatch(re.escape(self.submission_id(1)) + r"(?:-([1-9][0-9]*))?", submission_id)
        return int(found[1] or 1) if found else None

    def metadata(self) -> dict[str, str]:
        return {"run": self.run, "night": self.night, "stage": self.stage, "asked": self.config_hash}

    def request(self, number: int) -> dict[str, Any]:
        """Arguments for `submit_job`. The working directory is the current one without what .rayignore lists."""
        entrypoint = self.entrypoint
        return {
            "entrypoint": self.command,
            "submission_id": self.submission_id(number),
            "runtime_env": {"working_dir": "."},
            "metadata": self.metadata(),
            "entrypoint_num_cpus": entrypoint.cpus or None,
            "entrypoint_num_gpus": entrypoint.gpus or None,
            "entrypoint_memory": int(entrypoint.memory_gb * 2**30) or None,
            "entrypoint_resources": dict(entrypoint.resources) or None,
            "entrypoint_label_selector": dict(entrypoint.labels) or None,
        }


def stage_job(config: Config, stage: str, night: str, config_path: str, overrides: Sequence[str]) -> StageJob:
    """The job that runs `python -m jobs.{stage}` with this config file and these `--set` overrides."""
    arguments = [config.submit.python, "-m", f"jobs.{stage}", "--config", config_path]
    for override in overrides:
        arguments += ["--set", override]
    return StageJob(
        run=config.name,
        night=night,
        stage=stage,
        command=shlex.join(arguments),
        entrypoint=config.submit.stages.get(stage, config.submit.entrypoint),
        config_hash=_hash(config.recorded(exclude={"submit", "resources"})),
    )


def _hash(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(as_json(facts)).hexdigest()[:20]
