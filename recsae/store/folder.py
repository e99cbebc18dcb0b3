"""A folder on any filesystem that pyarrow reaches, named by a local path or a URI.

Two kinds of write: a stream, for data files that nobody reads before the commit; and `put`, which makes a small file
appear whole or not at all. It knows files and nothing of stages.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import obstore
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError
from obstore.store import from_url

from recsae.errors import BadInput

_STAGED = re.compile(r"#\d+$")
"""How obstore ends the name of a local file that it has not put yet, or never will."""


@functools.lru_cache(maxsize=64)
def _resolve(uri: str) -> tuple[pafs.FileSystem, str]:
    try:
        if "://" not in uri:
            return pafs.LocalFileSystem(), str(Path(uri).expanduser().resolve())
        filesystem, path = pafs.FileSystem.from_uri(uri)
        return filesystem, path
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"store.root = {uri}: not a path or URI that can be read ({error}); mend it") from None


@functools.lru_cache(maxsize=64)
def _object_store(uri: str) -> Any:
    """The same folder through obstore, which has the conditional create that pyarrow.fs lacks."""
    filesystem, path = _resolve(uri)
    if isinstance(filesystem, pafs.LocalFileSystem):
        return from_url(Path(path).as_uri(), mkdir=True)
    parts = urlsplit(uri)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    settings: dict[str, Any] = {}
    if "region" in options:
        settings["region"] = options["region"]
    if "endpoint_override" in options:
        scheme = options.get("scheme", "https")
        settings["endpoint"] = f"{scheme}://{options['endpoint_override']}"
        settings["client_options"] = {"allow_http": scheme == "http"}
    if parts.username:
        settings["access_key_id"] = unquote(parts.username)
        settings["secret_access_key"] = unquote(parts.password or "")
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return from_url(plain, **settings)


def split_query(uri: str) -> tuple[str, str]:
    """A URI, and its `?…`, which belongs to the filesystem and not to the name; in a local path `?` is a letter."""
    head, question, query = uri.partition("?") if "://" in uri else (uri, "", "")
    return head, question + query


@dataclass(frozen=True)
class Folder:
    """A folder by its path or URI; small enough to travel to any worker."""

    uri: str

    @property
    def filesystem(self) -> pafs.FileSystem:
        return _resolve(self.uri)[0]

    @property
    def path(self) -> str:
        return _resolve(self.uri)[1]

    def child(self, *names: str) -> Folder:
        head, query = split_query(self.uri)
        return Folder("/".join([head.rstrip("/"), *names]) + query)

    def locate(self, name: str) -> str:
        """The path of a file within, for pyarrow calls that take a filesystem beside a path."""
        return f"{self.path}/{name}"

    def open_input(self, name: str) -> pa.NativeFile:
        return self.filesystem.open_input_file(self.locate(name))

    def open_output(self, name: str) -> pa.NativeFile:
        target = self.locate(name)
        self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
        return self.filesystem.open_output_stream(target)

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        with self.open_input(name) as source:
            return pq.read_table(source, columns=columns)

    def write_table(self, name: str, table: pa.Table) -> None:
        with self.open_output(name) as sink:
            pq.write_table(table, sink, compression="zstd")

    def read_json(self, name: str) -> Any:
        """The parsed file, or None where there is none."""
        try:
            with self.open_input(name) as source:
                return json.loads(source.read())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def list(self, prefix: str = "") -> list[str]:
        """Names of the files below, relative to this folder, sorted. For writers only: readers follow a manifest."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each of these files."""
        selector = pafs.FileSelector(self.locate(prefix) if prefix else self.path, allow_not_found=True, recursive=True)
        start = len(self.path) + 1
        try:
            found = self.filesystem.get_file_info(selector)
        except FileNotFoundError:  # made while pyarrow looked
            return {}
        files = {info.path[start:]: info.size for info in found if info.type == pafs.FileType.File}
        return {name: size for name, size in files.items() if not _STAGED.search(name)}

    def put(self, name: str, content: bytes) -> None:
        """Write a small file whole, replacing what was there in one step."""
        obstore.put(_object_store(self.uri), name, content)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write a small file whole unless there is one already; whether this call wrote it."""
        try:
            obstore.put(_object_store(self.uri), name, content, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Delete one file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self.locate(name))

    def delete(self) -> None:
        self.filesystem.delete_dir(self.path)


def as_json(value: Any) -> bytes:
    """Canonical JSON: the same value gives the same bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode()
