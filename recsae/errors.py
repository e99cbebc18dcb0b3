"""The errors that end a command with one sentence, and how errors of others are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recsae.text.redaction import redact_uri


class BadInput(Exception):
    """Something the user gave cannot be used. The message is one sentence that names the file, column, row or key,
    and says how to mend it; a command prints it and exits with status 2. URIs in it lose their credentials."""

    def __init__(self, sentence: str) -> None:
        super().__init__(redact_uri(sentence))


class NotServed(Exception):
    """A night did not pass its gate, so the night served before stays. The message is one sentence that names each
    figure and the key that it missed; a command prints it and exits with status 3."""


def first_line(error: BaseException) -> str:
    """Its kind and the first line of its message, cut to 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """The error and every error behind it, each once, the nearest first.

    Follows `__cause__` and `__context__`, Ray's `cause` of a wrapped error, and Ray Train's `worker_failures`.
    """
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        failures = getattr(one, "worker_failures", None)
        waiting += [one.__cause__, one.__context__, getattr(one, "cause", None)]
        waiting += failures.values() if isinstance(failures, Mapping) else ()
