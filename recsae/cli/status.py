"""The command `status`: what is committed, being made, missing or damaged, what to run next, and what is served.

It reads the store alone and starts nothing, so it can be asked while a night runs.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict

import click

from recsae.cli.command import ending
from recsae.cli.run_config import RunConfig, takes_config
from recsae.text.redaction import redact_secrets
from recsae.text.sanitize import plain

COMMANDS = {"nightly": "run", "publish": "publish"}
"""What runs what `pipeline.status` says comes next, where that is no stage."""


@click.command
@takes_config
@click.option("--json", "as_json", is_flag=True, help="one JSON object, for machines")
def status(config: RunConfig, as_json: bool) -> None:
    """Print every stage with its state, the command to run next, and the night that is served.

    It reads the store alone, also while a night runs.
    """
    with ending("nothing was changed"):
        loaded = config.load()
        from recsae.cli.render.status import print_status
        from recsae.pipeline.status import look

        state = look(loaded)
    command = _command(state.following, config)
    if as_json:
        print(json.dumps({**asdict(state), "next": command}, ensure_ascii=False))
    else:
        print_status(state, command)


def _command(job: str, config: RunConfig) -> str:
    """The line that runs a job on this config; empty: there is no job to run."""
    if not job:
        return ""
    words = [COMMANDS[job]] if job in COMMANDS else ["stage", job]
    return plain(redact_secrets(shlex.join(["recsae", *words, *config.options])))
