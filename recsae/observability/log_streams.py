"""Replaces stdout and stderr while a command runs: whole lines, redacted, library noise only in the log file."""

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
"""Levels of lines that are printed rather than logged."""
BUFFERED_LINES = 1000
"""Maximum number of lines kept from before the log file is opened."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""Terminal control characters other than tab, newline and colours."""
_STAGE_LINE = re.compile(r"[a-z_]+: ")

_print_above: Callable[[str], None] | None = None


@contextlib.contextmanager
def printed_by(show: Callable[[str], None]) -> Iterator[None]:
    """Send terminal lines of this block to `show`, which prints them above a live display."""
    global _print_above
    _print_above = show
    try:
        yield
    finally:
        _print_above = None


def safe(text: str) -> str:
    """`text` without secrets and terminal control characters; line breaks and colours stay."""
    return _CONTROL.sub(" ", redact_secrets(text))


class LogFile:
    """A temporary file with every line, shown or not; lines written before it opens are buffered."""

    def __init__(self) -> None:
        self._before: deque[str] = deque(maxlen=BUFFERED_LINES)
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
        """Open the file and yield its path; libraries' direct writes to stderr go there too."""
        with (
            tempfile.NamedTemporaryFile(
                "a", prefix=f"recsae-{run}-", suffix=".log", delete=False, buffering=1, encoding="utf-8"
            ) as file,
            err.stderr_to(file.fileno()),
        ):
            self._file = cast(TextIO, file)
            file.writelines(line + "\n" for line in self._before)
            try:
                yield file.name
            finally:
                with self._lock:
                    self._file = None


class Stream:
    """Replaces a text stream and writes whole lines to it; other attributes are the original stream's."""

    def __init__(self, stream: TextIO, name: str, formatter: logging.Formatter, file: LogFile) -> None:
        self.raw, self._name, self._formatter, self._file = stream, name, formatter, file
        self._partial = ""
        self._lock = threading.RLock()  # Ray forwards its workers' lines from another thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._partial = (self._partial + text).split("\n")
            for line in lines:
                self._take(safe(line))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._partial and _print_above is None:
            with self._lock:
                partial, self._partial = self._partial, ""
                self.raw.write(safe(partial))
        self.raw.flush()

    def finish(self) -> None:
        """Write the last line if it has no newline."""
        self.flush()

    @contextlib.contextmanager
    def stderr_to(self, descriptor: int) -> Iterator[None]:
        """Redirect file descriptor 2 to `descriptor`; this stream keeps writing to the original."""
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
        if progress.take_relayed(printed.text):
            return
        self._file.write(_COLOUR.sub("", line))
        if printed.chatter:
            return
        if printed.worker and printed.worker.startswith("RayTrainWorker") and _STAGE_LINE.match(printed.text):
            line = self._formatter.format(logging.LogRecord("ray", logging.INFO, "", 0, printed.text, None, None))
        if _print_above is not None and self.raw.isatty():
            _print_above(line)
        else:
            self.raw.write(line + "\n")


class ObjectStream(Stream):
    """Writes printed lines as JSON objects."""

    def flush(self) -> None:
        self.raw.flush()

    def finish(self) -> None:
        with self._lock:
            partial, self._partial = self._partial, ""
            self._take(safe(partial))
        self.flush()

    def isatty(self) -> bool:
        return False

    def _take(self, line: str) -> None:
        line = _COLOUR.sub("", line).rstrip()
        if not line:
            return
        printed = chatter.parse(line)
        if progress.take_relayed(printed.text):
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
