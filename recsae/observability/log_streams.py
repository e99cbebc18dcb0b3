"""The standard streams while a command runs: whole lines, no secret, and chatter of libraries in the log file alone."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO, cast

from recsae.observability import chatter, progress
from recsae.text.redaction import redact_secrets

LEVELS = {"stdout": logging.INFO, "stderr": logging.WARNING}
"""Of lines that were printed and not logged."""
KEPT_LINES = 1000
"""Lines that the log file begins with, of those written before it was opened."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_COMMANDS = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""What a terminal obeys, other than a tab, a line's end and colours."""
_STAGE_LINE = re.compile(r"[a-z_]+: ")

_above: Callable[[str], None] | None = None


@contextlib.contextmanager
def printed_by(show: Callable[[str], None]) -> Iterator[None]:
    """Lines of this block for a terminal go to `show`, which has a display to keep below them."""
    global _above
    _above = show
    try:
        yield
    finally:
        _above = None


def safe(text: str) -> str:
    """`text` without secrets and without what a terminal would obey; line breaks and colours stay."""
    return _COMMANDS.sub(" ", redact_secrets(text))


class LogFile:
    """A temporary file of every line, shown or not, once it is open."""

    def __init__(self) -> None:
        self._before: deque[str] = deque(maxlen=KEPT_LINES)
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        with self._lock:
            if self._file is None:
                self._before.append(line)
            else:
                self._file.write(line + "\n")

    @contextlib.contextmanager
    def opened(self, run: str, err: Stream) -> Iterator[str]:
        """The path of the file. What libraries write past Python to the standard error goes there too."""
        with (
            tempfile.NamedTemporaryFile(
                "a", prefix=f"recsae-{run}-", suffix=".log", delete=False, buffering=1, encoding="utf-8"
            ) as file,
            err.elsewhere(file.fileno()),
        ):
            self._file = cast(TextIO, file)
            file.writelines(line + "\n" for line in self._before)
            try:
                yield file.name
            finally:
                with self._lock:
                    self._file = None


class Stream:
    """Takes a stream's place and writes lines to it. What it does not do itself, the other does."""

    def __init__(self, stream: TextIO, name: str, formatter: logging.Formatter, file: LogFile) -> None:
        self.raw, self._name, self._formatter, self._file = stream, name, formatter, file
        self._begun = ""
        self._lock = threading.RLock()  # Ray hands on its workers' lines in a thread of its own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._take(safe(line))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._begun and _above is None:
            with self._lock:
                begun, self._begun = self._begun, ""
                self.raw.write(safe(begun))
        self.raw.flush()

    def finish(self) -> None:
        """Write what has no line's end yet."""
        self.flush()

    @contextlib.contextmanager
    def elsewhere(self, descriptor: int) -> Iterator[None]:
        """What the process writes to the file descriptor 2 goes to another; this stream stays where it is."""
        if not _is_standard_error(self.raw):
            yield
            return
        raw, own = self.raw, os.dup(2)
        raw.flush()
        with os.fdopen(own, "w", buffering=1, encoding=raw.encoding, errors=raw.errors) as self.raw:
            os.dup2(descriptor, 2)
            try:
                yield
            finally:
                os.dup2(own, 2)
                self.raw = raw

    def _take(self, line: str) -> None:
        printed = chatter.parse(_COLOUR.sub("", line))
        if progress.take(printed.text):
            return
        self._file.write(_COLOUR.sub("", line))
        if printed.chatter:
            return
        if printed.worker and printed.worker.startswith("RayTrainWorker") and _STAGE_LINE.match(printed.text):
            line = self._formatter.format(logging.LogRecord("ray", logging.INFO, "", 0, printed.text, None, None))
        if _above is not None and self.raw.isatty():
            _above(line)
        else:
            self.raw.write(line + "\n")


class ObjectStream(Stream):
    """Printed lines as JSON objects."""

    def flush(self) -> None:
        self.raw.flush()

    def finish(self) -> None:
        with self._lock:
            begun, self._begun = self._begun, ""
            self._take(safe(begun))
        self.flush()

    def isatty(self) -> bool:
        return False

    def _take(self, line: str) -> None:
        line = _COLOUR.sub("", line).rstrip()
        if not line:
            return
        printed = chatter.parse(line)
        if progress.take(printed.text):
            return
        level = logging.ERROR if line.startswith("recsae: ") else LEVELS[self._name]
        record = logging.LogRecord(
            "ray" if printed.worker else self._name,
            logging.DEBUG if printed.chatter else level,
            "",
            0,
            printed.text,
            None,
            None,
        )
        record.worker = printed.worker
        self.raw.write(self._formatter.format(record) + "\n")


def _is_standard_error(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):  # not a file, or closed
        return False
