"""The run store: `{root}/{run}/{stage}/{fingerprint}/attempt-{id}/…`, committed by `_manifest.json`.

A manifest is put whole, the first one wins, and readers follow its file list; so what is half finished is never seen
and two attempts leave one result. It knows fingerprints and files, and nothing of what a stage does.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsae.errors import BadInput
from recsae.schemas import conform
from recsae.store.folder import Folder, as_json
from recsae.store.progress import Lease, Progress

Metrics = dict[str, Any]
MANIFEST = "_manifest.json"


@dataclass(frozen=True)
class Committed:
    """What a stage made, by its manifest. Reads only the files listed there."""

    folder: Folder
    manifest: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def metrics(self) -> Metrics:
        return dict(self.manifest["metrics"])

    @property
    def data(self) -> Folder:
        """The attempt that won."""
        return self.folder.child(str(self.manifest["attempt"]))

    def files(self, prefix: str = "") -> list[str]:
        """Names within `data`, sorted."""
        return [file["name"] for file in self.manifest["files"] if file["name"].startswith(prefix)]

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        return self.data.read_table(name, columns)


@dataclass(frozen=True)
class Attempt:
    """Where a stage writes. Nothing in it is visible before the commit."""

    data: Folder
    fingerprint: str
    progress: Progress

    def write_table(self, name: str, table: pa.Table, schema: pa.Schema) -> None:
        """Write one Parquet file in the schema of its contract."""
        self.data.write_table(name, conform(table, schema))

    @contextlib.contextmanager
    def open_parquet(self, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A writer for a table too large to hold. The stream is closed here: pyarrow leaves it to whoever opened it."""
        with self.data.open_output(name) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            yield writer


class RunStore:
    """All that one run has committed, over all its nights."""

    def __init__(self, root: str, run: str) -> None:
        # Whole, because a relative path means another folder in a worker of a cluster.
        given = Folder(root)
        self.folder = Folder(root if "://" in root else given.path).child(run)
        if not given.path.strip("/"):
            raise BadInput(f"store.root = {root} names no folder; give a path or a URI with a bucket and a folder")

    def check_writable(self) -> None:
        """Raises BadInput where the root cannot be written."""
        try:
            self.folder.create()
            self.folder.put(".writable", b"")
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise BadInput(
                f"store.root: {self.folder.uri} cannot be written ({reason}); give a folder that can"
            ) from None

    def committed(self, stage: str, fingerprint: str) -> Committed | None:
        folder = self.folder.child(stage, fingerprint)
        try:
            manifest = folder.read_json(MANIFEST)
        except PermissionError as error:
            reason = str(error).splitlines()[0]
            raise BadInput(f"store.root: {folder.uri} cannot be read ({reason}); give a folder that can") from None
        return Committed(folder, manifest) if manifest else None

    def lease(self, stage: str, fingerprint: str, seconds: float) -> Lease:
        return Lease(self.folder.child(stage, fingerprint, "_progress"), seconds)

    def attempt(self, stage: str, fingerprint: str, lease: Lease) -> Attempt:
        folder = self.folder.child(stage, fingerprint)
        return Attempt(folder.child(f"attempt-{uuid.uuid4().hex[:12]}"), fingerprint, Progress(lease.folder, lease))

    def commit(self, stage: str, attempt: Attempt, facts: Mapping[str, Any]) -> Committed:
        """Make the attempt the stage's result, or discard it where another was first."""
        filesystem = attempt.data.filesystem
        files = [
            {"name": name, "bytes": filesystem.get_file_info(attempt.data.locate(name)).size}
            for name in attempt.data.list()
        ]
        manifest = {
            **facts,
            "stage": stage,
            "fingerprint": attempt.fingerprint,
            "attempt": attempt.data.path.rpartition("/")[2],
            "files": files,
            "committed_at": _timestamp(),
        }
        folder = self.folder.child(stage, attempt.fingerprint)
        folder.put_if_absent(MANIFEST, as_json(manifest))
        self.discard(stage, attempt)
        committed = self.committed(stage, attempt.fingerprint)
        assert committed is not None
        return committed

    def discard(self, stage: str, attempt: Attempt) -> None:
        """Delete what a failed or late attempt wrote; not what a manifest names, whatever the writer believes.

        A put whose answer was lost, and an interrupt after the put, both look to the writer as if it had failed.
        """
        winner = self.committed(stage, attempt.fingerprint)
        if winner and winner.data == attempt.data:
            return
        with contextlib.suppress(FileNotFoundError):
            attempt.data.delete()

    def current(self) -> Mapping[str, Any] | None:
        """The night being served."""
        current: Mapping[str, Any] | None = self.folder.read_json("current.json")
        return current

    def publish(self, fingerprints: Mapping[str, str], dictionary: str, report: str) -> Mapping[str, Any]:
        """Serve this night: list it, then switch `current.json` in one put. The same night again changes nothing."""
        current = self.current()
        if current and current["fingerprints"] == dict(fingerprints):
            return current
        night = _timestamp()
        self.folder.put(f"nights/{night}.json", as_json({"fingerprints": dict(fingerprints)}))
        current = {
            "night": night,
            "dictionary": dictionary,
            "report": report,
            "fingerprints": dict(fingerprints),
        }
        self.folder.put("current.json", as_json(current))
        return current


def _timestamp() -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"-{time.time_ns() % 1_000_000_000:09d}Z"
