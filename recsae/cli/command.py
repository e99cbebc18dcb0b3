"""The command line that all jobs share: config, overrides, Ray, and one sentence with status 2 for bad input.

It knows which stages were asked for and nothing of what they do.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NoReturn

from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.distributed.cluster import start_ray
from recsae.errors import BadInput, NotServed
from recsae.observability import context, log_format
from recsae.store.object_store_errors import trouble
from recsae.text.sanitize import plain


def connect(config: Config) -> None:
    """Start or join Ray, and take SIGTERM back from it."""
    start_ray(config)
    stop_with_143()


def refuse_lost(key: str, folder: str) -> None:
    """Ray runs a submitted job in a copy of the working directory of its own; what is relative would stay in there.

    Raises BadInput that names the config key or option.
    """
    absolute = "://" in folder or Path(folder).expanduser().is_absolute()
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not absolute:
        raise BadInput(
            f"{key} = {folder} is relative, and a submitted job runs in Ray's copy of the working directory; "
            "give an absolute path or a URI"
        )


def refuse_overwriting(to: str, read: Mapping[str, str | None]) -> None:
    """Raises BadInput where `--to` names a file that the job reads, by these options."""
    for option, source in read.items():
        if source and (source == to or ("://" not in source + to and Path(source).resolve() == Path(to).resolve())):
            raise BadInput(f"--to {to}: {option} reads that file; give another")


class Parser(argparse.ArgumentParser):
    """The options that all jobs of a run have; what does not parse is told in one sentence, with status 2."""

    def __init__(self, what: str, *, config: bool = True, prog: str | None = None) -> None:
        super().__init__(prog=prog, description=f"recsae: {what}")
        if not config:
            return
        self.add_argument("--config", required=True, help="a TOML file; one file is one run")
        self.add_argument(
            "--set", action="append", default=[], metavar="A.B=C", help="override a config key; may be repeated"
        )

    def error(self, message: str) -> NoReturn:
        print(f"recsae: {plain(message)}; --help tells what there is", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def ending(interrupted: str) -> Iterator[None]:
    """Bad input and an object store that is away end in one sentence and status 2, a night that is not served in one
    and 3, an interrupt in one and 130, a stopped job in 143."""
    stop_with_143()
    with contextlib.ExitStack() as told:
        try:
            told.enter_context(log_format.lines())
            yield
        except BadInput as error:
            _end(str(error), 2)
        except NotServed as error:
            _end(str(error), 3)
        except Exception as error:
            sentence = trouble(error)
            if sentence is None:
                raise
            _end(sentence, 2)
        except KeyboardInterrupt:
            _end(f"interrupted; {interrupted}", 130)


def _end(sentence: str, status: int) -> NoReturn:
    print(f"recsae: {plain(sentence)}", file=sys.stderr)
    sys.exit(status)


def stop_with_143() -> None:
    """So that a stopped job gives its lease back and deletes an unfinished file; Ray's own handler would abort."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def run(stages: Sequence[str], *, publish: bool = False) -> None:
    """Parse the command line, run the stages in order and exit: 0, or as `ending` says.

    Where a run has nights, only one driver at a time publishes it.
    """
    arguments = Parser(", ".join(stages) or "publish").parse_args()
    with ending("the same command goes on where it was"), contextlib.ExitStack() as work:
        config = load(arguments.config, arguments.set)
        work.enter_context(context.at_work(config.name))
        refuse_lost("store.root", config.store.root)
        from recsae.llm.sharing import shared_engines
        from recsae.observability import mlflow
        from recsae.pipeline.run_lock import alone
        from recsae.pipeline.runner import Pipeline
        from recsae.pipeline.stages import STAGES
        from recsae.store.run_store import RunStore

        store = RunStore(config.store.root, config.name)
        lease = store.night_lease(config.resources.lease_seconds) if publish and config.nights else None
        if publish:
            mlflow.check(config)
        if lease:
            work.enter_context(alone(lease, config.name))
        pipeline = Pipeline(config, lease)
        for stage in stages:
            pipeline.fingerprint(stage)  # reads every input and model once, before hours are spent
        for asks, neighbours in groupby(stages, lambda stage: STAGES[stage].asks):
            with shared_engines() if asks else contextlib.nullcontext():
                for stage in neighbours:
                    if pipeline.has_work(stage):
                        connect(config)
                    pipeline.run(stage)
        if publish:
            from recsae.cli.render.dictionary import print_dictionary

            current = pipeline.publish()
            made = {stage: pipeline.committed(stage) for stage in current["fingerprints"]}
            mlflow.log_night(config, current["night"], {stage: one for stage, one in made.items() if one})
            print_dictionary(current, config.store.root)
