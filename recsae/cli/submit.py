"""The command `submit`: the stages in order, each as a Ray job of its own; called again, it goes on."""

from __future__ import annotations

import datetime
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from recsae.cli.command import ending, refuse_relative
from recsae.cli.run_config import RunConfig, takes_config
from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.submission.errors import NightStopped
from recsae.submission.jobs import JobServer, StageJob, stage_job
from recsae.text.sanitize import plain


def night_label(given: str | None, now: Callable[[], datetime.datetime]) -> str:
    """The night that is meant: a date, today's in UTC unless told. Raises BadInput where it is none."""
    if given is None:
        return now().astimezone(datetime.UTC).date().isoformat()
    try:
        if datetime.date.fromisoformat(given).isoformat() == given:
            return given
    except ValueError:
        pass
    raise BadInput(f"--night {given}: a night is a date; write it as in 2026-11-25")


def plan(config: Config, path: str, overrides: list[str], night: str, stages: list[str]) -> list[StageJob]:
    """The jobs of these stages. Raises BadInput for a store that jobs would lose and a stage that is none."""
    from recsae.pipeline.stages import STAGES

    known = [*STAGES, "publish", "nightly"]
    for stage in config.submit.stages:
        if stage not in known:
            raise BadInput(f"{path}: submit.stages.{stage}: there is no such stage; choose among {', '.join(known)}")
    refuse_relative("store.root", config.store.root)
    return [stage_job(config, stage, night, _within(path), overrides) for stage in stages]


def _within(path: str) -> str:
    """A config below the working directory travels with it; another must lie at the same path on the nodes."""
    here, whole = Path.cwd().resolve(), Path(path).resolve()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def job_server() -> JobServer:
    """The cluster's job server. A token is asked for unless RAY_AUTH_MODE says otherwise, and never shown."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # before Ray is imported, which reads it once
    from ray.job_submission import JobSubmissionClient

    server: JobServer = JobSubmissionClient()
    return server


@click.command
@takes_config(required=True)
@click.option("--night", help="which night, as in 2026-11-25; today in UTC unless given")
@click.option("--nightly", is_flag=True, help="all stages as one job")
def submit(config: RunConfig, night: str | None, nightly: bool) -> None:
    """Submit the stages in order, each as a Ray job with its own resources ([submit]); called again, it goes on.

    RAY_API_SERVER_ADDRESS says where the job server is; RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH hold the cluster's token.
    """
    with ending("the jobs go on, and the same command waits for them again"):
        path = str(config.path)
        loaded = load(path, list(config.overrides))
        label = night_label(night, lambda: datetime.datetime.now(datetime.UTC))
        from recsae.pipeline.stages import STAGES

        stages = ["nightly"] if nightly else [*STAGES, "publish"]
        jobs = plan(loaded, path, list(config.overrides), label, stages)
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        from ray.exceptions import AuthenticationError

        from recsae.submission.night import NightJobs
        from recsae.submission.retry import reach

        tell = logging.getLogger("recsae.submit").info
        try:
            NightJobs(reach(job_server, time.sleep, tell), jobs, time.sleep, _show, tell).run()
        except AuthenticationError:
            raise BadInput(
                "the job server refuses the token; RAY_AUTH_TOKEN or the file in RAY_AUTH_TOKEN_PATH must hold the "
                "cluster's, and RAY_AUTH_MODE its mode"
            ) from None
        except NightStopped as stopped:
            print(f"recsae: {plain(str(stopped))}", file=sys.stderr)
            sys.exit(stopped.status)


def _show(text: str) -> None:
    print(text, end="", flush=True)
