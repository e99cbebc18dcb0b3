"""Formats a command's output: text, or one JSON object per line (RECSAE_LOG=json). Both are redacted.

Everything written to stdout and stderr passes through here, including lines that Ray forwards from its workers,
warnings and tracebacks.
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
"""The environment variable: `text` (default) or `json`."""
_OWN_LOGGERS = ("recsae", "jobs", "__main__")

_open_file: Callable[[str], contextlib.AbstractContextManager[str]] | None = None


@contextlib.contextmanager
def lines() -> Iterator[None]:
    """Format logs, stdout and stderr of this block as RECSAE_LOG says, and install an excepthook that outlasts it.

    Raises BadInput if RECSAE_LOG is neither `text` nor `json`.
    """
    global _open_file
    form = os.environ.get(FORMAT, "") or "text"
    if form not in ("text", "json"):
        raise BadInput(f"{FORMAT} = {form}: unknown format; set it to text or json, or unset it")
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
    sys.excepthook = _except_hook(formatter, before[1])  # not restored: Python calls it after this block
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
    """The path of a file with every line of this block and libraries' direct writes to stderr; None with JSON."""
    if _open_file is None:
        yield None
        return
    with _open_file(run) as path:
        yield path


class _Filter(logging.Filter):
    """Passes our own records and all warnings; other library records go only to the log file."""

    def __init__(self, formatter: logging.Formatter, file: LogFile) -> None:
        super().__init__()
        self._formatter, self._file = formatter, file

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or record.name.startswith(_OWN_LOGGERS):
            return True
        self._file.write(safe(self._formatter.format(record)))
        return False


class _Text(logging.Formatter):
    """Formats `18:30:02 message` on one line, control characters removed; a traceback follows on its own lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = plain(record.message)
        return super().formatMessage(record)


class _Objects(logging.Formatter):
    """Formats one JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        work = context.current()
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


def _except_hook(
    formatter: logging.Formatter, err: TextIO
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """An excepthook that writes uncaught errors in the same format."""

    def show(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if isinstance(formatter, _Text):
            err.write(safe("".join(traceback.format_exception(kind, error, where))))
            return
        record = logging.LogRecord("recsae", logging.CRITICAL, "", 0, str(error) or kind.__name__, None, None)
        record.exc_info = (kind, error, where)
        err.write(formatter.format(record) + "\n")

    return show
