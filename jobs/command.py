"""The command line that all jobs share: config, overrides, Ray, and one sentence with status 2 for bad input.

It knows which stages were asked for and nothing of what they do.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.plain import plain
from recsae.config import Config
from recsae.config_file import load
from recsae.errors import BadInput


def connect(config: Config) -> None:
    """Join the cluster that the job was submitted to, or start Ray in this process's own session.

    Embedded Ray gets more logical CPUs than actors: stages hold theirs while Ray Data needs one to feed them.
    """
    import ray

    def quiet() -> None:
        """Without a dashboard Ray Train's cleaner warns every second that it cannot ask it, or dies of asking."""
        import threading

        logging.getLogger("ray.train.v2._internal.execution.controller").setLevel(logging.ERROR)
        usual = threading.excepthook
        threading.excepthook = lambda ended: (
            None if ended.thread and ended.thread.name == "PlacementGroupCleanerMonitor" else usual(ended)
        )

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # or every line of a Train worker comes twice
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address=os.environ["RAY_ADDRESS"], logging_level=logging.ERROR)
    else:
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # nobody takes this machine away
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")  # checkpoints wait for it, 2 s otherwise
        resources = config.resources
        widest = max(resources.train_workers, resources.probe_actors, resources.llm_actors)
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, widest + 2),
            include_dashboard=False,
            logging_level=logging.ERROR,
            runtime_env={"worker_process_setup_hook": quiet},
        )


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


def run(stages: Sequence[str], *, publish: bool = False) -> None:
    """Parse the command line, run the stages in order and exit: 0, or 2 with one sentence on bad input."""
    parser = argparse.ArgumentParser(description=f"recsae: {', '.join(stages) or 'publish'}")
    parser.add_argument("--config", required=True, help="a TOML file; one file is one run")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="override a config key; may be repeated"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stopped job still gives its lease back
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    try:
        config = load(arguments.config, arguments.set)
        refuse_lost("store.root", config.store.root)
        from recsae.pipeline import Pipeline

        pipeline = Pipeline(config)
        for stage in stages:
            pipeline.fingerprint(stage)  # reads every input and model once, before hours are spent
        for stage in stages:
            if pipeline.has_work(stage):
                connect(config)
            pipeline.run(stage)
        if publish:
            from jobs.table import print_dictionary

            print_dictionary(pipeline.publish())
    except BadInput as error:
        print(f"recsae: {plain(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("recsae: interrupted; the same command goes on where it was", file=sys.stderr)
        sys.exit(130)
