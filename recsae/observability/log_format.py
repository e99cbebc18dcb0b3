"""How a job's lines look: as people read them, or one JSON object each (RECSAE_LOG=json). Neither carries a secret.

Whatever is written to the two streams passes here, so the same holds for lines that Ray hands on from its workers, for
warnings and for tracebacks. It knows lines, and what the process is at work on only by name.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO, cast

from recsae.errors import BadInput
from recsae.observability import context
from recsae.text.redaction import redact_secrets
from recsae.text.sanitize import plain

FORMAT = "RECSAE_LOG"
"""The environment variable: `text`, or left out, for people, `json` for machines."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_COMMANDS = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""What a terminal obeys, other than a tab, a line's end and colours."""
_WORKER = re.compile(r"\((?P<worker>(?:.* )?pid=\d+(?:, ip=[^)]*)?|raylet|autoscaler[^)]*)\) (?P<text>.*)")
"""How Ray begins a line that it hands on."""
_LEVELS = {"stdout": logging.INFO, "stderr": logging.WARNING}
"""Of lines that were printed and not logged."""


@contextlib.contextmanager
def lines() -> Iterator[None]:
    """Logs and both streams of this block in the format that the environment asks for; also how the process ends.

    Raises BadInput where the environment asks for another format.
    """
    form = os.environ.get(FORMAT, "") or "text"
    if form not in ("text", "json"):
        raise BadInput(f"{FORMAT} = {form}: there are text and json; give one of them, or leave it out")
    before, root = (sys.stdout, sys.stderr), logging.getLogger()
    level = root.level
    formatter = _Objects() if form == "json" else _Text()
    out, err = (
        _Printed(stream, name, formatter) if form == "json" else _Shown(stream)
        for stream, name in zip(before, _LEVELS, strict=True)
    )
    handler = logging.StreamHandler(before[0] if form == "json" else cast(TextIO, out))
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    sys.excepthook = _ending(formatter, before[1])  # stays: it is asked after this block
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        out.finish()
        err.finish()
        sys.stdout, sys.stderr = before
        root.removeHandler(handler)
        root.setLevel(level)


def _safe(text: str) -> str:
    """The one way of text into either format; its line breaks stay."""
    return _COMMANDS.sub(" ", redact_secrets(text))


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
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": plain(_safe(record.getMessage())),
            "run": work.run,
            "stage": work.stage,
            "attempt": work.attempt,
        }
        if worker := getattr(record, "worker", None):
            told["worker"] = plain(worker)
        if record.exc_info:
            raised = "".join(traceback.format_exception(*record.exc_info))
            told["exception"] = "\n".join(plain(line) for line in _safe(raised).splitlines())
        return json.dumps(told, ensure_ascii=False)


class _Shown:
    """A stream in another's place that shows no secret. What it does not do itself the other does."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(_safe(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        self._stream.flush()


class _Printed(_Shown):
    """Printed lines as JSON objects, each when it is whole."""

    def __init__(self, stream: TextIO, name: str, formatter: logging.Formatter) -> None:
        super().__init__(stream)
        self._name, self._formatter = name, formatter
        self._begun = ""
        self._lock = threading.RLock()  # Ray hands on its workers' lines in a thread of its own

    def write(self, text: str) -> int:
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
            for line in whole:
                self._tell(line)
        return len(text)

    def finish(self) -> None:
        """Tell what was printed without a line's end, too."""
        with self._lock:
            begun, self._begun = self._begun, ""
            self._tell(begun)
        super().finish()

    def isatty(self) -> bool:
        return False

    def _tell(self, line: str) -> None:
        line = _COLOUR.sub("", line).rstrip()
        if not line:
            return
        handed = _WORKER.fullmatch(line)
        level = logging.ERROR if line.startswith("recsae: ") else _LEVELS[self._name]
        record = logging.LogRecord(
            "ray" if handed else self._name, level, "", 0, handed["text"] if handed else line, None, None
        )
        record.worker = handed["worker"] if handed else None
        self._stream.write(self._formatter.format(record) + "\n")


def _ending(
    formatter: logging.Formatter, err: TextIO
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What is told of an error that nobody caught."""

    def told(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if isinstance(formatter, _Text):
            err.write(_safe("".join(traceback.format_exception(kind, error, where))))
            return
        record = logging.LogRecord("recsae", logging.CRITICAL, "", 0, str(error) or kind.__name__, None, None)
        record.exc_info = (kind, error, where)
        err.write(formatter.format(record) + "\n")

    return told
