"""One input file: its location, its dialect, and its rows one by one.

Reads CSV, TSV, `::`, JSON Lines and Parquet from a local path or any URI that pyarrow reads, plain or gzipped.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsae.data.text import is_utf8
from recsae.errors import BadInput
from recsae.store.filesystem import split_query
from recsae.store.object_store import open_filesystem
from recsae.text.redaction import redact_uri

Row = dict[str, Any]
_KINDS = {".csv": ",", ".tsv": "\t", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json"}
_MIB = 2**20


@dataclass(frozen=True)
class Source:
    """An input file and its dialect."""

    key: str
    """The config key that names the file; error messages begin with it."""
    path: str
    """A local path or a URI, as written in the config."""
    kind: Literal["delimited", "json", "parquet"] = "delimited"
    delimiter: str = ","
    quoted: bool = True
    header: bool = True
    names: tuple[str, ...] = ()
    """Column names, if the file has no header or one with other names."""
    typed: bool = False
    """The header reads `name:type`, as in RecBole's files."""
    latin1_fallback: bool = False
    """Lines that are not UTF-8 are read as Latin-1."""
    repeated_ids: bool = False
    """Several rows may describe one id; their attributes are merged."""

    @property
    def location(self) -> tuple[pafs.FileSystem, str]:
        """The filesystem and the path on it. Raises BadInput if pyarrow cannot parse the URI."""
        if "://" not in self.path:
            return pafs.LocalFileSystem(), str(Path(self.path).expanduser().absolute())
        try:
            filesystem, path = open_filesystem(self.path)
        except (OSError, ValueError) as error:
            self.refuse(f"not a URI that can be read ({error}); fix it")
        return filesystem, path

    @property
    def local(self) -> bool:
        return "://" not in self.path

    @property
    def gzipped(self) -> bool:
        return self.location[1].lower().endswith(".gz")

    def refuse(self, reason: str) -> NoReturn:
        raise BadInput(f"{self.key}: {self.path}: {reason}")

    def exists(self) -> bool:
        filesystem, path = self.location
        found: bool = filesystem.get_file_info(path).type == pafs.FileType.File
        return found

    @property
    def redacted(self) -> str:
        """The path without credentials, for logs and stored records."""
        return redact_uri(self.path)

    def checksum(self) -> str:
        """sha256 of the stored bytes, or the object store's ETag, which saves reading the file twice."""
        filesystem, path = self.location
        if not self.local:
            with filesystem.open_input_stream(path, compression=None) as stream:
                metadata = {name.lower(): value.decode() for name, value in stream.metadata().items()}
            if "etag" in metadata:
                return f"etag {metadata['etag']}"
        digest = hashlib.sha256()
        with filesystem.open_input_stream(path, compression=None) as stream:
            while block := stream.read(8 * _MIB):
                digest.update(block)
        return digest.hexdigest()

    def columns(self) -> list[str]:
        """Names of the columns; of JSON Lines, the keys of the first line. Raises BadInput if there is no header."""
        return [name.partition(":")[0] if self.typed else name for name in self.raw_columns()]

    def refuse_duplicate_columns(self, columns: Sequence[str], used: Iterable[str]) -> None:
        """Raises BadInput if a column that is read occurs twice; the others may have any name."""
        for name in used:
            if columns.count(name) > 1:
                self.refuse(f"the header names column {name} twice; rename one")

    def raw_columns(self) -> list[str]:
        """The header as written in the file, types included."""
        if self.kind == "parquet":
            try:
                filesystem, path = self.location
                with filesystem.open_input_file(path) as file:
                    return list(pq.read_schema(file).names)
            except pa.ArrowInvalid as error:
                self.refuse(f"not a Parquet file ({_first_line(error)}); give one")
        if self.names and not self.header:
            return list(self.names)
        if self.kind == "delimited":
            line = next(self._lines(), "")
            if "\0" in line or not is_utf8(line):
                self.refuse("is not UTF-8 text (gzip or UTF-16?); save it as UTF-8, or name it .gz")
        first = next(self._json_rows() if self.kind == "json" else self._fields(), None)
        if first is None:
            self.refuse("the file is empty; give it a header and rows")
        if self.kind == "json":
            return list(first[1])
        if self.names and len(first[1]) != len(self.names):
            self.refuse(f"its header has {len(first[1])} columns, expected {', '.join(self.names)}; fix the file")
        return list(self.names) or list(first[1])

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        """The data rows, numbered from 1. Invalid UTF-8 is decoded with surrogates in place of the bad bytes."""
        if self.kind == "parquet":
            return self._parquet_rows(columns)
        return self._json_rows() if self.kind == "json" else self._delimited_rows()

    def _delimited_rows(self) -> Iterator[tuple[int, Row]]:
        names = self.columns()
        fields = self._fields()
        if self.header:
            next(fields, None)
        for number, (line, values) in enumerate(fields, 1):
            if len(values) != len(names):
                self.refuse(f"line {line} has {len(values)} columns where the file has {len(names)}; fix that line")
            yield number, dict(zip(names, values, strict=True))

    def _fields(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of every line that is not blank."""
        if not self.quoted or len(self.delimiter) > 1:
            for line, text in enumerate(self._lines(), 1):
                if text := text.rstrip("\r\n"):
                    yield line, text.split(self.delimiter)
            return
        csv.field_size_limit(16 * _MIB)  # descriptions may exceed the csv module's default limit
        reader = csv.reader(self._lines(), delimiter=self.delimiter, strict=True)
        try:
            for values in reader:
                if values:
                    yield reader.line_num, values
        except csv.Error as error:
            self.refuse(f"line {reader.line_num}: {error}; fix that line")

    def _json_rows(self) -> Iterator[tuple[int, Row]]:
        number = 0
        for line, text in enumerate(self._lines(), 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                self.refuse(f"line {line} is not JSON ({error.msg} at column {error.colno}); fix that line")
            except (ValueError, RecursionError):  # more digits or deeper nesting than Python accepts
                self.refuse(f"line {line} holds too long a number or too deep a nesting; fix that line")
            if not isinstance(row, dict):
                self.refuse(f"line {line} is not a JSON object; write one object a line")
            number += 1
            yield number, row

    def _parquet_rows(self, wanted: Sequence[str]) -> Iterator[tuple[int, Row]]:
        filesystem, path = self.location
        try:
            with filesystem.open_input_file(path) as stream, pq.ParquetFile(stream) as file:
                columns = [name for name in file.schema_arrow.names if name in wanted]
                number = 0
                for batch in file.iter_batches(batch_size=8192, columns=columns):
                    values = [column.cast(_bytes(column.type)).to_pylist() for column in batch.columns]
                    for row in zip(*values, strict=True):
                        number += 1
                        yield number, dict(zip(batch.schema.names, row, strict=True))
        except pa.ArrowInvalid as error:
            self.refuse(f"cannot be read as Parquet ({_first_line(error)}); fix the file")

    def _lines(self) -> Iterator[str]:
        filesystem, path = self.location
        with filesystem.open_input_file(path) as file:
            stream: Any = gzip.GzipFile(fileobj=file) if self.gzipped else file
            try:
                # utf-8-sig: spreadsheets write a byte-order mark before the first column's name
                text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
                for line in text:
                    yield _from_latin(line) if self.latin1_fallback else line
            except (EOFError, OSError, zlib.error) as error:
                self.refuse(f"cannot be read ({error}); fix the file")


def source_from_path(key: str, path: str) -> Source:
    """A source whose dialect follows from the file extension. Raises BadInput if the extension is unknown."""
    name, _ = split_query(path)
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    if suffix not in _KINDS:
        raise BadInput(f"{key}: {path}: unknown file extension; use one of {', '.join(_KINDS)} (.gz too)")
    if suffix in (".csv", ".tsv"):
        return Source(key, path, delimiter=_KINDS[suffix])
    return Source(key, path, kind="parquet" if suffix == ".parquet" else "json")


def _bytes(kind: pa.DataType) -> pa.DataType:
    """The type with strings as bytes: Arrow does not validate UTF-8, and Python would fail on the first bad byte."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.large_binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(_bytes(kind.value_type))
    return kind


def _from_latin(line: str) -> str:
    return line if line.isascii() else _decode(line.encode("utf-8", "surrogateescape"))


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
