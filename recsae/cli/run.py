"""The commands that run stages: `run` for all of them, `stage` for one, `publish` for serving what they made."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from itertools import groupby

import click

from recsae.cli.command import connect, ending
from recsae.cli.run_config import RunConfig, takes_config
from recsae.observability import context, progress

DEMO_TOLD = """\
Runs every stage on this machine, some minutes on two cores; a language model (93 MB) is fetched the first time.
`recsae run --config FILE` runs a config of your own."""


def _stage_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """For the shell's completion."""
    from recsae.pipeline.stages import STAGES

    return [name for name in STAGES if name.startswith(incomplete)]


def _known_stage(ctx: click.Context, param: click.Parameter, name: str) -> str:
    from recsae.pipeline.stages import STAGES

    if name not in STAGES:
        raise click.BadParameter(f"{name} is not one of {', '.join(STAGES)}", ctx, param)
    return name


@click.command
@takes_config
def run(config: RunConfig) -> None:
    """Run every stage in order and serve the result, if the gate of [nights] lets it through.

    What is committed already is skipped. Without --config it runs the demo: the built-in MovieLens data, some minutes
    on two cores, into the folder `runs` here.
    """
    if config.path is None:
        print(DEMO_TOLD, file=sys.stderr)
    run_stages(config, None, publish=True)


@click.command
@click.argument("name", callback=_known_stage, shell_complete=_stage_names)
@takes_config
def stage(config: RunConfig, name: str) -> None:
    """Run the stage NAME unless its result is committed; its inputs must be."""
    run_stages(config, [name])


@click.command
@takes_config
def publish(config: RunConfig) -> None:
    """Serve what the stages have committed, if the gate of [nights] lets it through."""
    run_stages(config, [], publish=True)


def run_stages(named: RunConfig, only: Sequence[str] | None, *, publish: bool = False) -> None:
    """Run the stages in order (None: all of them) and exit: 0, or as `ending` says.

    Where a run has nights, only one driver at a time publishes it.
    """
    with ending("the same command goes on where it was"), contextlib.ExitStack() as work:
        config = named.load()
        work.enter_context(context.at_work(config.name))
        from recsae.llm.sharing import shared_engines
        from recsae.observability import mlflow
        from recsae.pipeline.run_lock import hold_run_lock
        from recsae.pipeline.runner import Pipeline
        from recsae.pipeline.stages import STAGES, load_functions
        from recsae.store.run_store import RunStore

        stages = list(STAGES) if only is None else only
        store = RunStore(config.store.root, config.name)
        lease = store.night_lease(config.resources.lease_seconds) if publish and config.nights else None
        if publish:
            mlflow.check(config)
        if lease:
            work.enter_context(hold_run_lock(lease, config.name))
        pipeline = Pipeline(config, lease)
        for stage in stages:
            pipeline.fingerprint(stage)  # reads every input and model once, before hours are spent
        with progress.at_night(config.name, stages, pipeline.expected_seconds):
            for asks, neighbours in groupby(stages, lambda stage: STAGES[stage].asks):
                with shared_engines() if asks else contextlib.nullcontext():
                    for stage in neighbours:
                        if pipeline.has_work(stage):
                            load_functions(stages)
                            connect(config)
                        pipeline.run(stage)
        if publish:
            from recsae.cli.render.dictionary import print_dictionary

            current = pipeline.publish()
            made = {stage: pipeline.committed(stage) for stage in current["fingerprints"]}
            mlflow.log_night(config, current["night"], {stage: one for stage, one in made.items() if one})
            print_dictionary(current, config.store.root)
