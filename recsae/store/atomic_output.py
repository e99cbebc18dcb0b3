"""Writes a file at a path or URI that the user named, outside the store: complete, or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsae.errors import BadInput
from recsae.store.filesystem import Folder, file_at, split_query
from recsae.text.redaction import redact_uri


def resolve_output(option: str, target: str) -> tuple[Folder, str]:
    """The folder and name of a file to write. Raises BadInput, naming the option, where it cannot be written there."""
    if not target.isprintable() or not target:
        raise BadInput(f"{option} {target}: names no file; give a path or URI that can be printed")
    folder, name = file_at(target)
    try:
        filesystem = folder.filesystem
        if not name or filesystem.get_file_info(folder.locate(name)).type == pafs.FileType.Directory:
            raise IsADirectoryError("it is a folder")
        folder.create()
        probe = folder.locate(_partial(name))
        filesystem.open_output_stream(probe).close()
        filesystem.delete_file(probe)
    except BadInput:  # its sentence is about store.root
        raise BadInput(f"{option} {target}: no path or URI; give another") from None
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{option} {target}: cannot be written ({reason}); give a file that can") from None
    return folder, name


@contextlib.contextmanager
def atomic_writer(folder: Folder, name: str) -> Iterator[pa.NativeFile]:
    """Write to a temporary file and rename it on success; where the block fails, nothing remains."""
    if not folder.local:  # objects cannot be renamed, but an upload becomes visible only when it is complete
        with folder.upload(name) as upload:
            yield pa.PythonFile(_Unclosed(upload), mode="w")
        return
    partial, filesystem = folder.locate(_partial(name)), folder.filesystem
    try:
        with filesystem.open_output_stream(partial) as sink:
            yield sink
        filesystem.move(partial, folder.locate(name))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            filesystem.delete_file(partial)
        raise


@contextlib.contextmanager
def atomic_parquet_writer(folder: Folder, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """`atomic_writer` for tables."""
    with atomic_writer(folder, name) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as out:
        yield out


class _Unclosed:
    """An upload that pyarrow can write but not close: closing would complete it even after a failure."""

    closed = False

    def __init__(self, upload: Any) -> None:
        self._upload = upload

    def write(self, data: bytes) -> int:
        return int(self._upload.write(memoryview(data).cast("B")))

    def flush(self) -> None: ...

    def close(self) -> None: ...


def beside(target: str, name: str) -> str:
    """The redacted path or URI of another file in the folder of `target`."""
    head = split_query(redact_uri(target))[0]
    return f"{head.rpartition('/')[0]}/{name}" if "/" in head else name


def _partial(name: str) -> str:
    return f".{name[:100]}.{uuid.uuid4().hex[:12]}"
