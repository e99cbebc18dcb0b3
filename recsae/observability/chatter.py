"""Recognizes library output that is noise to users, and the prefixes that Ray adds to its workers' lines."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORKER = re.compile(r"\((?P<worker>(?:.* )?pid=\w+(?:, ip=[^)]*)?|raylet|autoscaler[^)]*)\) (?P<text>.*)")
_CHATTER = re.compile(
    r"mutex\.cc"
    r"|has constructor arguments in the object store"
    r"|Progress bars disabled"
    r"|^(?:INFO|DEBUG|WARNING) \d\d-\d\d \d\d:\d\d:\d\d "  # vLLM's own log lines; its failures are raised
)
_MANAGERS = ("TrainController", "pid=gcs_server")
"""Processes that only manage workers: their failures are raised in the driver."""


class PrintedLine(NamedTuple):
    """A printed line, and the worker that printed it if Ray names one."""

    text: str
    worker: str | None

    @property
    def chatter(self) -> bool:
        return bool(_CHATTER.search(self.text)) or (self.worker or "").startswith(_MANAGERS)


def parse(line: str) -> PrintedLine:
    """The text and worker of a line without colour codes."""
    found = _WORKER.fullmatch(line)
    return PrintedLine(found["text"], found["worker"]) if found else PrintedLine(line, None)
