"""How a command's lines look: as people read them, or one JSON object each (RECSAE_LOG=json). Neither has a secret.

Whatever is written to the two streams passes here, so the same holds for lines that Ray hands on from its workers, for
warnings and for tracebacks.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO, cast

from recsae.errors import BadInput
from recsae.observability import context
from recsae.observability.log_streams import LEVELS, LogFile, ObjectStream, Stream, safe
from recsae.text.sanitize import plain

FORMAT = "RECSAE_LOG"
"""The environment variable: `text`, or left out, for people, `json` for machines."""
_OWN = ("recsae", "jobs", "__main__")

_open_file: Callable[[str], contextlib.AbstractContextManager[str]] | None = None


@contextlib.contextmanager
def lines() -> Iterator[None]:
    """Logs and both streams of this block in the format that the environment asks for; also how the process ends.

    Raises BadInput where the environment asks for another format.
    """
    global _open_file
    form = os.environ.get(FORMAT, "") or "text"
    if form not in ("text", "json"):
        raise BadInput(f"{FORMAT} = {form}: there are text and json; give one of them, or leave it out")
    before, root = (sys.stdout, sys.stderr), logging.getLogger()
    level, file = root.level, LogFile()
    as_json = form == "json"
    formatter = _Objects() if as_json else _Text()
    kind = ObjectStream if as_json else Stream
    out, err = (kind(stream, name, formatter, file) for stream, name in zip(before, LEVELS, strict=True))
    handler = logging.StreamHandler(before[0] if as_json else cast(TextIO, out))
    handler.setFormatter(formatter)
    if not as_json:
        handler.addFilter(_Filter(formatter, file))
        _open_file = functools.partial(file.opened, err=err)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    sys.excepthook = _ending(formatter, before[1])  # stays: it is called after this block
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        _open_file = None
        out.finish()
        err.finish()
        sys.stdout, sys.stderr = before
        root.removeHandler(handler)
        root.setLevel(level)


@contextlib.contextmanager
def log_file(run: str) -> Iterator[str | None]:
    """The path of a file that takes every line of this block, and what libraries write past Python; None with JSON."""
    if _open_file is None:
        yield None
        return
    with _open_file(run) as path:
        yield path


class _Filter(logging.Filter):
    """Passes our own records and warnings; what else libraries log goes to the log file alone."""

    def __init__(self, formatter: logging.Formatter, file: LogFile) -> None:
        super().__init__()
        self._formatter, self._file = formatter, file

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or record.name.startswith(_OWN):
            return True
        self._file.write(safe(self._formatter.format(record)))
        return False


class _Text(logging.Formatter):
    """`18:30:02 message` on one line, whatever a catalogue's text holds; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = plain(record.message)
        return super().formatMessage(record)


class _Objects(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        work = context.now()
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": plain(safe(record.getMessage())),
            "run": work.run,
            "stage": work.stage,
            "attempt": work.attempt,
        }
        if worker := getattr(record, "worker", None):
            fields["worker"] = plain(worker)
        if record.exc_info:
            raised = "".join(traceback.format_exception(*record.exc_info))
            fields["exception"] = "\n".join(plain(line) for line in safe(raised).splitlines())
        return json.dumps(fields, ensure_ascii=False)


def _ending(
    formatter: logging.Formatter, err: TextIO
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """Writes an error that nobody caught."""

    def show(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if isinstance(formatter, _Text):
            err.write(safe("".join(traceback.format_exception(kind, error, where))))
            return
        record = logging.LogRecord("recsae", logging.CRITICAL, "", 0, str(error) or kind.__name__, None, None)
        record.exc_info = (kind, error, where)
        err.write(formatter.format(record) + "\n")

    return show
