"""The nights of a run: one record each, `current.json` for the one that is served, and retention.

A record is put once and never changed; `current.json` is replaced in one put, so a reader sees one night or another
and never a mixture. Nights are ordered by number and not by time, since clocks jump.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from recsae.store.filesystem import Folder, as_json, split_query
from recsae.text.redaction import redact_uri

log = logging.getLogger(__name__)

MANIFEST = "_manifest.json"
Record = Mapping[str, Any]


class Night(NamedTuple):
    """What a night made: one fingerprint per stage, and the files to serve."""

    fingerprints: Mapping[str, str]
    dictionary: str
    report: str
    checks: tuple[Mapping[str, Any], ...] = ()
    """The checks of the gate; the night is served where all have passed."""

    @property
    def passed(self) -> bool:
        return all(check["passed"] for check in self.checks)


class Nights:
    """All nights of one run."""

    def __init__(self, folder: Folder, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock

    def current(self) -> Record | None:
        """The record of the served night; None: nothing is served yet."""
        current: Record | None = self.folder.read_json("current.json")
        return relocated(current, self.folder) if current else current

    def all(self) -> list[Record]:
        """Every record, oldest first."""
        names = [name for name in self.folder.list("nights") if name.endswith(".json")]
        found = [self.folder.read_json(name) for name in names]
        numbered = (record for record in found if record and "number" in record)
        return sorted(numbered, key=lambda record: (record["number"], record["night"]))

    def close(self, made: Night) -> Record:
        """Record the night and, where its checks have passed, serve it. Closing the same night again changes nothing.

        A night that did not pass is recorded with its checks, and the served night stays.
        """
        current = self.current()
        if made.passed and current and current["fingerprints"] == dict(made.fingerprints):
            return current
        records = self.all()
        known = records[-1] if records else None
        if known and not known["served"] and not made.passed and known["fingerprints"] == dict(made.fingerprints):
            return known
        record = {
            "night": timestamp(self.clock),
            "number": 1 + max((record["number"] for record in records), default=0),
            "before": current["night"] if current else None,
            "fingerprints": dict(made.fingerprints),
            "dictionary": made.dictionary,
            "report": made.report,
            "checks": [dict(check) for check in made.checks],
            "served": made.passed,
        }
        self.folder.put(f"nights/{record['night']}.json", as_json(record))
        if made.passed:
            self.folder.put("current.json", as_json(record))
        return record

    def retire(self, keep: int) -> int:
        """Delete nights older than the newest `keep` and what only they need; returns how many were deleted.

        What the served night or a kept one names stays, and so does what no night names. Of a stage's folder the
        manifest is deleted first, so that a half-deleted result is never read.
        """
        records, current = self.all(), self.current()
        kept = [*records[-keep:], *([current] if current else [])]
        names = {record["night"] for record in kept}
        needed = {(stage, print_) for record in kept for stage, print_ in record["fingerprints"].items()}
        old = [record for record in records if record["night"] not in names]
        for record in old:
            for stage, fingerprint in record["fingerprints"].items():
                if (stage, fingerprint) not in needed:
                    self._delete(stage, fingerprint)
            self.folder.remove(f"nights/{record['night']}.json")
        if old:
            log.info("retention: %d nights kept, %d deleted", len(names), len(old))
        return len(old)

    def _delete(self, stage: str, fingerprint: str) -> None:
        folder = self.folder.child(stage, fingerprint)
        folder.remove(MANIFEST)
        with contextlib.suppress(FileNotFoundError):
            folder.delete()


def relocated(record: Record, run: Folder) -> Record:
    """The record with the dictionary and the report where they lie now: a store may have been moved since, or copied.

    What does not name a file of the record's own stages stays as it is.
    """
    prints = record.get("fingerprints")
    found = dict(record)
    for key in ("dictionary", "report"):
        file = split_query(str(record.get(key, "")))[0].split("/")[-4:]  # stage, fingerprint, attempt, name
        if len(file) == 4 and isinstance(prints, Mapping) and prints.get(file[0]) == file[1]:
            found[key] = redact_uri(run.child(*file).uri)
    return found


def timestamp(clock: Callable[[], float]) -> str:
    """Now, in UTC, to the nanosecond; such names sort by time."""
    now = clock()
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f"-{int(now % 1 * 1e9):09d}Z"
