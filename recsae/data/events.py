"""Reads the event files into one DuckDB table, before any filter.

Every cell is read as text and cast here, so that errors name the file, row and column of a cell that cannot be cast.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow.fs as pafs
from fsspec.implementations.arrow import ArrowFSWrapper

from recsae.config.schema import ColumnNames
from recsae.data.database import count_rows, first_row
from recsae.data.sources import Source
from recsae.errors import BadInput

log = logging.getLogger(__name__)

# `row` counts data rows of a file from 1, `place` the items of a line that holds several; (file, row, place) is the
# order of the input. `fraction` is the fractional part of a timestamp: it breaks ties.
_TABLE = """
CREATE TABLE events_read (
    file INTEGER, row BIGINT, place INTEGER, user_id VARCHAR, item_id VARCHAR,
    timestamp BIGINT, fraction DOUBLE, dated BOOLEAN, weight DOUBLE, fault VARCHAR, cell VARCHAR
)
"""
# An integer is cast directly, since a double cannot hold 19 digits; DuckDB's cast of '12.7' to an integer would round,
# and its TIMESTAMP without a zone would drop a UTC offset. isfinite() keeps NaN out of the outer TRY_CAST: DuckDB 2.0
# turns it into a null for which IS NULL is false.
_MACROS = r"""
CREATE MACRO integer_part(cell) AS CASE
    WHEN regexp_full_match(cell, '\s*[+-]?\d+\s*') THEN TRY_CAST(cell AS BIGINT)
    WHEN isfinite(TRY_CAST(cell AS DOUBLE)) THEN TRY_CAST(floor(TRY_CAST(cell AS DOUBLE)) AS BIGINT) END;
CREATE MACRO fractional_part(cell) AS CASE
    WHEN regexp_full_match(cell, '\s*[+-]?\d+\s*') THEN 0
    ELSE TRY_CAST(cell AS DOUBLE) - floor(TRY_CAST(cell AS DOUBLE)) END;
CREATE MACRO microseconds(cell) AS TRY(epoch_us(TRY_CAST(cell AS TIMESTAMPTZ)));
CREATE MACRO is_blank(cell) AS cell IS NULL OR trim(cell) = '';
"""
_READ = """
INSERT INTO events_read
SELECT
    {file}, row, place, user_id, item_id,
    coalesce(number, date) AS timestamp, coalesce(fraction, 0), number IS NULL, weight,
    CASE
        WHEN is_blank(user_id) THEN 'user_id'
        WHEN is_blank(item_id) THEN 'item_id'
        WHEN number IS NULL AND date IS NULL THEN 'timestamp'
        WHEN weight IS NULL OR NOT isfinite(weight) OR abs(weight) > {most} THEN 'weight'
    END AS fault,
    CASE fault WHEN 'timestamp' THEN time_cell WHEN 'weight' THEN weight_cell END
FROM (
    SELECT *, integer_part(time_cell) AS number, fractional_part(time_cell) AS fraction,
        CASE WHEN number IS NULL THEN microseconds(time_cell) END AS date,
        TRY_CAST(weight_cell AS DOUBLE) AS weight
    FROM (
        SELECT row, user_id, time_cell, weight_cell, {items}
        FROM (
            SELECT row_number() OVER () AS row, {user_id}::VARCHAR AS user_id, {item_id} AS item_cell,
                {timestamp}::VARCHAR AS time_cell, {weight}::VARCHAR AS weight_cell
            FROM {scan}
        )
    )
)
"""
_MAX_WEIGHT = 3.4028234663852886e38  # largest 32-bit float
_MAX_LINE = 16 * 2**20  # bytes; a user's list may be long. sources.py has the same limit
_ONE_ITEM = "item_cell::VARCHAR AS item_id, 0 AS place"
# An empty list becomes one empty item, so that it is reported instead of lost.
_LIST_OF_ITEMS = """
    unnest(CASE WHEN len(item_cell) > 0 THEN item_cell ELSE [NULL] END) AS item_id,
    generate_subscripts(CASE WHEN len(item_cell) > 0 THEN item_cell ELSE [NULL] END, 1) AS place
"""


class _InputFilesystem(ArrowFSWrapper):  # type: ignore[misc]
    """A pyarrow filesystem under a private scheme: fsspec's wrapper would parse the host as its own schemes do."""

    def __init__(self, filesystem: pafs.FileSystem, scheme: str) -> None:
        super().__init__(filesystem, skip_instance_cache=True)
        self.scheme = scheme

    @property
    def protocol(self) -> str:
        return self.scheme

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.partition("://")[2] or path


def read_events(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], columns: ColumnNames, list_separator: str
) -> int:
    """Fill the table `events_read`; returns its rows. Raises BadInput on the first row that cannot be used."""
    connection.execute(_MACROS)
    connection.execute(_TABLE)
    for number, source in enumerate(sources):
        _read(connection, number, source, columns, list_separator)
    _refuse_invalid_cells(connection, sources, columns)
    _refuse_mixed_times(connection, sources, columns)
    count = count_rows(connection, "events_read")
    if not count:
        raise BadInput(f"{sources[0].key}: {sources[0].path}: the table has no rows; give it events")
    return count


def _read(
    connection: duckdb.DuckDBPyConnection, number: int, source: Source, columns: ColumnNames, list_separator: str
) -> None:
    header = source.columns()
    for field in ("user_id", "item_id", "timestamp", "weight"):
        name = getattr(columns, field)
        if not name and field in ("user_id", "item_id"):
            raise BadInput(f"data.columns.{field} is empty; name the column of {source.path} that holds it")
        if name and name not in header:
            without = ' or to ""' if field == "timestamp" else ""
            source.refuse(
                f"there is no column {name} among {', '.join(header)}; "
                f"set data.columns.{field} to one of these{without}"
            )
    fields = (columns.user_id, columns.item_id, columns.timestamp, columns.weight)
    used = list(dict.fromkeys(name for name in fields if name))
    source.refuse_duplicate_columns(header, used)
    names = used if source.kind == "json" else header
    cell = {name: f"c{place}" for place, name in enumerate(names)}
    with _scan(connection, number, source, names) as scan:
        try:
            described = connection.execute(f"SELECT column_type FROM (DESCRIBE FROM {scan})").fetchall()
            kinds = {name: kind for name, (kind,) in zip(names, described, strict=True) if name in used}
            _refuse_nested(source, columns, kinds, list_separator)
            user_id, item_id = (_id(cell[name], kinds[name]) for name in (columns.user_id, columns.item_id))
            items = _ONE_ITEM
            if list_separator:
                listed = kinds[columns.item_id].endswith("[]")
                items_cell = (
                    f"{item_id}::VARCHAR[]" if listed else f"string_split({item_id}::VARCHAR, {_text(list_separator)})"
                )
                item_id, items = f"list_filter({items_cell}, lambda item: NOT is_blank(item))", _LIST_OF_ITEMS
            connection.execute(
                _READ.format(
                    file=number,
                    items=items,
                    user_id=user_id,
                    item_id=item_id,
                    timestamp=cell[columns.timestamp] if columns.timestamp else "0",
                    weight=cell[columns.weight] if columns.weight else "1",
                    most=_MAX_WEIGHT,
                    scan=scan,
                )
            )
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            source.refuse(_reason(error))


@contextmanager
def _scan(connection: duckdb.DuckDBPyConnection, number: int, source: Source, names: list[str]) -> Iterator[str]:
    """Yields the table function that reads the file, while its filesystem is registered.

    The columns are called c0, c1, …, since DuckDB accepts no empty name and no two that differ only in case.
    """
    filesystem, path = source.location
    scheme = f"input{number}"
    if not source.local:
        connection.register_filesystem(_InputFilesystem(filesystem, scheme))
        path = f"{scheme}://{path}"
    path = _text(re.sub(r"([*?\[])", r"[\1]", path))  # escaped, so that it is no glob pattern
    cells = [f"c{place}" for place in range(len(names))]
    alias = f"AS cells({', '.join(cells)})"
    options = f"compression = '{'gzip' if source.gzipped else 'none'}', hive_partitioning = false"
    try:
        match source.kind:
            case "parquet":
                yield f"read_parquet({path}, hive_partitioning = false) {alias}"
            case "json":
                keys = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in names)
                yield f"read_json({path}, {options}, format = 'newline_delimited', columns = {{{keys}}}) {alias}"
            case "delimited":
                kinds = ", ".join(f"{cell}: 'VARCHAR'" for cell in cells)
                quote = "'\"'" if source.quoted else "''"
                yield (
                    f"read_csv({path}, {options}, auto_detect = false, header = {source.header}, "
                    f"columns = {{{kinds}}}, delim = {_text(source.delimiter)}, quote = {quote}, escape = {quote}, "
                    f"max_line_size = {_MAX_LINE}, buffer_size = {2 * _MAX_LINE})"
                )
    finally:
        if not source.local:
            connection.unregister_filesystem(scheme)


def _refuse_nested(source: Source, columns: ColumnNames, kinds: dict[str, str], list_separator: str) -> None:
    for name in (columns.user_id, columns.item_id, columns.timestamp, columns.weight):
        kind = kinds.get(name, "")
        listed = name == columns.item_id and list_separator and kind.endswith("[]")
        if not listed and (kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))):
            source.refuse(f"column {name} holds {kind.lower()}, expected one value; give one value per row")


def _refuse_invalid_cells(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], columns: ColumnNames
) -> None:
    first = first_row(
        connection,
        "SELECT file, row, fault, cell FROM events_read WHERE fault IS NOT NULL ORDER BY file, row, place LIMIT 1",
    )
    if first is None:
        return
    file, row, fault, cell = first
    name = getattr(columns, fault)
    where = f"row {row}, column {name}"
    if cell is None or not cell.strip():
        sources[file].refuse(f"{where} is empty; fill it or leave the row out")
    expected = {
        "timestamp": "a number or a date (2014-07-23, 2014-07-23T10:00:00)",
        "weight": "a number (at most 3.4e38)",
    }
    sources[file].refuse(f"{where} holds {cell[:60]!r}, which is not {expected[fault]}; fix it")


def _refuse_mixed_times(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], columns: ColumnNames) -> None:
    """Raises BadInput if some timestamps are numbers and others dates, which have no common order."""
    seen = connection.execute(
        "SELECT dated, min((file, row)) FROM events_read GROUP BY dated ORDER BY min((file, row))"
    ).fetchall()
    if len(seen) == 2:
        (dated, _), (_, (file, row)) = seen
        earlier, later = ("dates", "a number") if dated else ("numbers", "a date")
        sources[file].refuse(
            f"row {row}, column {columns.timestamp} holds {later}, but earlier rows hold {earlier}; use one format"
        )


def _reason(error: duckdb.Error) -> str:
    """DuckDB's message without its advice, which names options that the user cannot set."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "state machine reached an invalid state" in lines[0]:
        return "mixed line ends; save it with one kind"
    found = re.search(r"on Line: (\d+)", lines[0])
    if found is None:
        return f"cannot be read ({lines[0].partition(': ')[2] or lines[0]}); fix the file"
    detail = next((line for line in lines[1:] if not line.startswith(("Original Line", "Possible"))), "malformed")
    return f"line {found[1]} cannot be read ({detail.rstrip('.')}); fix the file"


def _id(name: str, kind: str) -> str:
    """SQL for an id column. Missing values turn integers into floats, so 7.0 is the id 7, as in the catalogue."""
    if kind not in ("FLOAT", "DOUBLE"):
        return name
    return (
        f"CASE WHEN NOT isfinite({name}) THEN NULL "
        f"WHEN {name} = floor({name}) THEN {name}::BIGINT::VARCHAR ELSE {name}::VARCHAR END"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
