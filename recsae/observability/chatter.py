"""Which lines of libraries say nothing to a user, and what Ray puts before the lines of its workers."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORKER = re.compile(r"\((?P<worker>(?:.* )?pid=\w+(?:, ip=[^)]*)?|raylet|autoscaler[^)]*)\) (?P<text>.*)")
_CHATTER = re.compile(
    r"mutex\.cc"
    r"|has constructor arguments in the object store"
    r"|Progress bars disabled"
    r"|^(?:INFO|DEBUG|WARNING) \d\d-\d\d \d\d:\d\d:\d\d "  # vLLM's own; what it cannot do it raises
)
_SILENT = ("TrainController", "pid=gcs_server")
"""Workers that only manage others: what goes wrong is raised in the driver."""


class PrintedLine(NamedTuple):
    """A printed line, and the worker that printed it, where Ray says one."""

    text: str
    worker: str | None

    @property
    def chatter(self) -> bool:
        return bool(_CHATTER.search(self.text)) or (self.worker or "").startswith(_SILENT)


def parse(line: str) -> PrintedLine:
    """A line without colours, taken apart."""
    found = _WORKER.fullmatch(line)
    return PrintedLine(found["text"], found["worker"]) if found else PrintedLine(line, None)
