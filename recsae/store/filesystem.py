"""A folder on any filesystem that pyarrow reaches, named by a local path or a URI.

Two kinds of write: a stream, for data files that nobody reads before the commit; and `put`, by which a small file
appears complete or not at all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, GenericError
from obstore.store import from_url

from recsae.errors import BadInput
from recsae.store import object_store
from recsae.text.redaction import redact_uri

_STAGED = re.compile(r"#\d+$")
"""The end of the names of temporary files that obstore's local store writes, and leaves where it is killed."""


@functools.lru_cache(maxsize=64)
def _resolve(uri: str) -> tuple[pafs.FileSystem, str]:
    try:
        if "://" not in uri:
            return pafs.LocalFileSystem(), str(Path(uri).expanduser().resolve())
        return object_store.open_filesystem(uri)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"store.root = {uri}: not a path or URI that can be read ({error}); mend it") from None


@functools.lru_cache(maxsize=64)
def _object_store(uri: str) -> Any:
    """The folder through obstore, which has the conditional create that pyarrow.fs lacks."""
    filesystem, path = _resolve(uri)
    return from_url(Path(path).as_uri(), mkdir=True) if _is_local(filesystem) else object_store.open_store(uri)


def _is_local(filesystem: pafs.FileSystem) -> bool:
    return isinstance(filesystem, pafs.LocalFileSystem)


def split_query(uri: str) -> tuple[str, str]:
    """A URI without its query, and the query (`?…`), which configures the filesystem; local paths have none."""
    head, question, query = uri.partition("?") if "://" in uri else (uri, "", "")
    return head, question + query


def file_at(target: str) -> tuple[Folder, str]:
    """The folder and the name of a file given by its path or URI."""
    head, query = split_query(target)
    path, slash, name = head.rpartition("/")
    return Folder((path if slash else ".") + query), unquote(name) if "://" in target else name


@dataclass(frozen=True, repr=False)
class Folder:
    """A folder by its path or URI; cheap to pickle to any worker. No name leads out of it."""

    uri: str

    def __repr__(self) -> str:
        return f"Folder({redact_uri(self.uri)!r})"

    @property
    def filesystem(self) -> pafs.FileSystem:
        return _resolve(self.uri)[0]

    @property
    def path(self) -> str:
        return _resolve(self.uri)[1]

    @property
    def local(self) -> bool:
        return _is_local(self.filesystem)

    def child(self, *names: str) -> Folder:
        head, query = split_query(self.uri)
        return Folder("/".join([head.rstrip("/"), *map(self._inside, names)]) + query)

    def locate(self, name: str) -> str:
        """The path of a file within, for pyarrow calls that take a path and a filesystem.

        Raises BadInput on a name that leads out of the folder.
        """
        return f"{self.path}/{self._inside(name)}"

    def _inside(self, name: str) -> str:
        """Checked because names come from manifests too, which anyone with write access to the store may edit."""
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise BadInput(f"{self.uri}: {name!r} is no name of a file in there; look who writes this store")
        return name

    def open_input(self, name: str) -> pa.NativeFile:
        return self.filesystem.open_input_file(self.locate(name))

    def open_output(self, name: str) -> pa.NativeFile:
        target = self.locate(name)
        self.create(target.rpartition("/")[0])
        return self.filesystem.open_output_stream(target)

    def create(self, path: str = "") -> None:
        """Make the folder, or one at a path below it, on a local filesystem; buckets are never made."""
        if self.local:
            self.filesystem.create_dir(path or self.path, recursive=True)

    def read_table(self, name: str, columns: list[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """The given columns (None: all) of the rows that satisfy `where`; other rows are not held in memory."""
        with self.open_input(name) as source:
            return pq.read_table(source, columns=columns, filters=where)

    def write_table(self, name: str, table: pa.Table) -> None:
        with self.open_output(name) as sink:
            pq.write_table(table, sink, compression="zstd")

    def read_json(self, name: str) -> Any:
        """The parsed file, or None where there is none.

        From an object store in one request: pyarrow asks for the size first, and would cut or overrun a file that is
        replaced in between.
        """
        name = self._inside(name)
        try:
            if not self.local:
                return json.loads(bytes(obstore.get(_object_store(self.uri), name).bytes()))
            with self.open_input(name) as source:
                return json.loads(source.read())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def list(self, prefix: str = "") -> list[str]:
        """Names of all files below, relative to this folder, sorted. For writers only: readers follow a manifest."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The size in bytes of each of these files."""
        selector = pafs.FileSelector(self.locate(prefix) if prefix else self.path, allow_not_found=True, recursive=True)
        start = len(self.path) + 1
        try:
            found = self.filesystem.get_file_info(selector)
        except FileNotFoundError:  # created while pyarrow listed
            return {}
        files = {info.path[start:]: info.size for info in found if info.type == pafs.FileType.File}
        return {name: size for name, size in files.items() if not _STAGED.search(name)}

    def put(self, name: str, content: bytes) -> None:
        """Write a small file in one step, replacing what was there."""
        obstore.put(_object_store(self.uri), self._inside(name), content)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write a small file in one step unless it exists; returns whether its content is from this call.

        The response of an object store may be lost, and the retry then finds the file that the first try wrote: so
        `content` must identify its writer. (obstore does not retry a conditional put after a broken connection.)
        """
        store, until = _object_store(self.uri), time.monotonic() + object_store.PATIENCE_S
        while True:
            try:
                obstore.put(store, self._inside(name), content, mode="create")
                return True
            except AlreadyExistsError:
                if self.local:
                    return False
                with contextlib.suppress(FileNotFoundError):  # refused because of a concurrent put that then failed
                    return bytes(obstore.get(store, name).bytes()) == content
            except GenericError:
                if self.local or time.monotonic() > until:
                    raise
            time.sleep(1)

    def upload(self, name: str) -> Any:
        """A writer whose file appears only if its block succeeds; for object stores, which cannot rename."""
        return obstore.open_writer(_object_store(self.uri), self._inside(name))

    def remove(self, name: str) -> None:
        """Delete one file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self.locate(name))

    def delete(self) -> None:
        self.filesystem.delete_dir(self.path)


def as_json(value: Any) -> bytes:
    """Canonical JSON: the same value gives the same bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode()


def finite(figures: Any) -> Any:
    """Figures as JSON allows them: null for NaN and infinities."""
    if isinstance(figures, dict):
        return {str(key): finite(value) for key, value in figures.items()}
    if isinstance(figures, list | tuple):
        return [finite(value) for value in figures]
    return None if isinstance(figures, float) and not math.isfinite(figures) else figures
