"""What every command shares: how it ends, what it refuses, and how it starts Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from recsae.cli.progress import display
from recsae.config.schema import Config
from recsae.distributed.cluster import start_ray
from recsae.errors import BadInput, NotServed
from recsae.observability import log_format, progress
from recsae.store.object_store_errors import store_failure
from recsae.text.sanitize import plain


def connect(config: Config) -> None:
    """Start or join Ray, and take SIGTERM back from it."""
    progress.phase("starting Ray")
    start_ray(config)
    stop_with_143()


def refuse_relative_in_job(key: str, folder: str) -> None:
    """`refuse_relative` within a submitted job; elsewhere nothing."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        refuse_relative(key, folder)


def refuse_relative(key: str, folder: str) -> None:
    """Raises BadInput, naming the config key or option, on a relative path: Ray runs a submitted job in its own copy of
    the working directory, where what the job writes would stay."""
    if "://" not in folder and not Path(folder).expanduser().is_absolute():
        raise BadInput(
            f"{key} = {folder} is relative, and a submitted job runs in Ray's copy of the working directory; "
            "give an absolute path or a URI"
        )


def refuse_overwriting(to: str, read: Mapping[str, str | None]) -> None:
    """Raises BadInput where `--to` names a file that the job reads, by these options."""
    for option, source in read.items():
        if source and (source == to or ("://" not in source + to and Path(source).resolve() == Path(to).resolve())):
            raise BadInput(f"--to {to}: {option} reads that file; give another")


@contextlib.contextmanager
def ending(interrupted: str) -> Iterator[None]:
    """Bad input and an object store that is away end in one sentence and status 2, a night that is not served in one
    and 3, an interrupt in one and 130, a stopped job in 143."""
    stop_with_143()
    with contextlib.ExitStack() as told:
        try:
            told.enter_context(log_format.lines())
            told.enter_context(progress.displayed(display))
            yield
        except BadInput as error:
            _end(str(error), 2)
        except NotServed as error:
            _end(str(error), 3)
        except Exception as error:
            sentence = store_failure(error)
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
