"""The run store: `{root}/{run}/{stage}/{fingerprint}/attempt-{id}/…`, committed by `_manifest.json`.

A manifest is put in one step, the first one wins, and readers follow its file list; so a half-finished result is never
seen, and two attempts leave one result.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsae.errors import BadInput
from recsae.schemas.base import conform
from recsae.store.filesystem import Folder, as_json
from recsae.store.nights import MANIFEST, Nights, Record, timestamp
from recsae.store.progress import Lease, Progress

Metrics = dict[str, Any]
PREVIOUS = "last night's "
"""Prefix of an input: the stage's result on the served night."""


@dataclass(frozen=True)
class Committed:
    """The committed result of a stage, by its manifest. Reads only the files listed there."""

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
        """The folder of the attempt that was committed."""
        return self.folder.child(str(self.manifest["attempt"]))

    def files(self, prefix: str = "") -> list[str]:
        """Names within `data`, sorted."""
        return [file["name"] for file in self.manifest["files"] if file["name"].startswith(prefix)]

    def read_table(self, name: str, columns: list[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        return self.data.read_table(name, columns, where)

    def damage(self) -> tuple[str, str] | None:
        """The first file that is gone or has another size than the manifest says, and what is wrong with it."""
        sizes = self.data.sizes()
        for file in self.manifest["files"]:
            name, size = file["name"], sizes.get(file["name"])
            if size is None:
                return name, "is gone"
            if size != file["bytes"]:
                return name, f"has {size:,} bytes and not {file['bytes']:,}"
        return None

    def refuse_damaged(self) -> None:
        """Raises BadInput where a file is damaged."""
        if damage := self.damage():
            name, problem = damage
            raise BadInput(
                f"{self.data.locate(name)} {problem}, as stage {self.manifest['stage']} wrote it; "
                f"delete {self.folder.uri} and run again"
            )


@dataclass(frozen=True)
class Attempt:
    """Where a stage writes. Nothing in it is visible to readers before the commit."""

    data: Folder
    fingerprint: str
    progress: Progress

    def write_table(self, name: str, table: pa.Table, schema: pa.Schema) -> None:
        """Write one Parquet file in the schema of its contract."""
        self.data.write_table(name, conform(table, schema))

    @contextlib.contextmanager
    def open_parquet(self, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A writer for a table too large for memory."""
        with self.data.open_output(name) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            yield writer


class RunStore:
    """The results of one run, over all its nights."""

    def __init__(self, root: str, run: str, clock: Callable[[], float] = time.time) -> None:
        # Absolute, because a relative path would mean another folder in a worker.
        given = Folder(root)
        self.folder = Folder(root if "://" in root else given.path).child(run)
        if not given.path.strip("/"):
            raise BadInput(f"store.root = {root} names no folder; give a path or a URI with a bucket and a folder")
        self.clock = clock
        self.nights = Nights(self.folder, clock)

    def current(self) -> Record | None:
        """The record of the served night; None: nothing is served yet."""
        return self.nights.current()

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
        return Lease(self.folder.child(stage, fingerprint, "_progress"), seconds, self.clock)

    def night_lease(self, seconds: float) -> Lease:
        """The lease behind the run lock."""
        return Lease(self.folder.child("_night"), seconds, self.clock)

    def attempt(self, stage: str, fingerprint: str, lease: Lease) -> Attempt:
        folder = self.folder.child(stage, fingerprint)
        return Attempt(folder.child(f"attempt-{uuid.uuid4().hex[:12]}"), fingerprint, Progress(lease.folder, lease))

    def commit(self, stage: str, attempt: Attempt, facts: Mapping[str, Any]) -> Committed:
        """Make the attempt the stage's result, or discard it where another was first; returns the one that counts."""
        files = [{"name": name, "bytes": size} for name, size in sorted(attempt.data.sizes().items())]
        manifest = {
            **facts,
            "stage": stage,
            "fingerprint": attempt.fingerprint,
            "attempt": attempt.data.path.rpartition("/")[2],
            "files": files,
            "committed_at": timestamp(self.clock),
        }
        folder = self.folder.child(stage, attempt.fingerprint)
        folder.put_if_absent(MANIFEST, as_json(manifest))
        self.discard(stage, attempt)
        committed = self.committed(stage, attempt.fingerprint)
        assert committed is not None
        return committed

    def discard(self, stage: str, attempt: Attempt) -> None:
        """Delete what a failed or late attempt wrote, unless a manifest names it.

        A put whose response was lost, or an interrupt after the put, look to the writer like a failure.
        """
        winner = self.committed(stage, attempt.fingerprint)
        if winner and winner.data == attempt.data:
            return
        with contextlib.suppress(FileNotFoundError):
            attempt.data.delete()
