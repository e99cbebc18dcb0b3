"""An embedded database for out-of-core work: DuckDB in a temporary folder, bounded in memory and threads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from recsae.errors import BadInput

_MAX_THREADS = 16


@contextmanager
def temporary_database(memory_gb: float, share: float = 1.0) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields a database that spills to a temporary folder beyond `share` of `memory_gb` (10^9 bytes).

    Raises BadInput if the memory is too little, and KeyboardInterrupt for DuckDB's error on Ctrl-C.
    """
    try:
        with _open(memory_gb * share) as connection:
            yield connection
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        raise
    except duckdb.OutOfMemoryException as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"resources.ingest_memory_gb = {memory_gb} is too little for this input ({reason}); raise it"
        ) from None


@contextmanager
def _open(memory_gb: float) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="recsae-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_gb}GB",
            "temp_directory": str(Path(folder) / "spill"),
            "threads": min(os.cpu_count() or 1, _MAX_THREADS),
            "preserve_insertion_order": True,  # row numbers, and ties in time, follow the files
        }
        with duckdb.connect(str(Path(folder) / "work.duckdb"), config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")  # for timestamps without a zone
            connection.execute("SET enable_progress_bar = false")
            yield connection


def first_row(
    connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object] = ()
) -> tuple[Any, ...] | None:
    """The first row of a short result, or None; reads all rows, since an open result blocks the connection."""
    rows: list[tuple[Any, ...]] = connection.execute(query, list(values)).fetchall()
    return rows[0] if rows else None


def count_rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """The number of rows of a table."""
    row = first_row(connection, f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])
