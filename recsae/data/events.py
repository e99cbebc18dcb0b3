"""Events as the files hold them, in one DuckDB table: every cell read as text and cast here, so that what cannot be
cast is named by file, row and column.

It knows rows and types, and nothing of filters, ids inside or splits.
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
# order in which people wrote the events down. `fraction` is what a timestamp has beyond its whole number: it orders.
_TABLE = """
CREATE TABLE events_read (
    file INTEGER, row BIGINT, place INTEGER, user_id VARCHAR, item_id VARCHAR,
    timestamp BIGINT, fraction DOUBLE, dated BOOLEAN, weight DOUBLE, fault VARCHAR, held VARCHAR
)
"""
# A whole number is cast as one, since a double holds no 19 digits; DuckDB's own cast of '12.7' would round, and its
# TIMESTAMP without a zone would drop an offset from UTC. NaN is kept from TRY_CAST: DuckDB 2.0 makes it null there and
# yet denies that it IS NULL.
_MACROS = r"""
CREATE MACRO whole(held) AS CASE
    WHEN regexp_full_match(held, '\s*[+-]?\d+\s*') THEN TRY_CAST(held AS BIGINT)
    WHEN isfinite(TRY_CAST(held AS DOUBLE)) THEN TRY_CAST(floor(TRY_CAST(held AS DOUBLE)) AS BIGINT) END;
CREATE MACRO beyond(held) AS CASE
    WHEN regexp_full_match(held, '\s*[+-]?\d+\s*') THEN 0
    ELSE TRY_CAST(held AS DOUBLE) - floor(TRY_CAST(held AS DOUBLE)) END;
CREATE MACRO microseconds(held) AS TRY(epoch_us(TRY_CAST(held AS TIMESTAMPTZ)));
CREATE MACRO is_void(held) AS held IS NULL OR trim(held) = '';
"""
_READ = """
INSERT INTO events_read
SELECT
    {file}, row, place, user_id, item_id,
    coalesce(number, date) AS timestamp, coalesce(fraction, 0), number IS NULL, weight,
    CASE
        WHEN is_void(user_id) THEN 'user_id'
        WHEN is_void(item_id) THEN 'item_id'
        WHEN number IS NULL AND date IS NULL THEN 'timestamp'
        WHEN weight IS NULL OR NOT isfinite(weight) OR abs(weight) > {most} THEN 'weight'
    END AS fault,
    CASE fault WHEN 'timestamp' THEN time_held WHEN 'weight' THEN weight_held END
FROM (
    SELECT *, whole(time_held) AS number, beyond(time_held) AS fraction,
        CASE WHEN number IS NULL THEN microseconds(time_held) END AS date,
        TRY_CAST(weight_held AS DOUBLE) AS weight
    FROM (
        SELECT row, user_id, time_held, weight_held, {items}
        FROM (
            SELECT row_number() OVER () AS row, {user_id}::VARCHAR AS user_id, {item_id} AS item_held,
                {timestamp}::VARCHAR AS time_held, {weight}::VARCHAR AS weight_held
            FROM {scan}
        )
    )
)
"""
_MAX_WEIGHT = 3.4028234663852886e38  # of 32 bits
_MAX_LINE = 16 * 2**20  # bytes; a user's list may be long. The module that reads catalogues has the same limit
_ONE_ITEM = "item_held::VARCHAR AS item_id, 0 AS place"
# An empty line becomes one void item, so that it is refused and not lost.
_LIST_OF_ITEMS = """
    unnest(CASE WHEN len(item_held) > 0 THEN item_held ELSE [NULL] END) AS item_id,
    generate_subscripts(CASE WHEN len(item_held) > 0 THEN item_held ELSE [NULL] END, 1) AS place
"""


class _InputFilesystem(ArrowFSWrapper):  # type: ignore[misc]
    """A pyarrow filesystem under a scheme of its own: fsspec's own wrapper takes hosts apart as each scheme would."""

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
    """Fill `events_read` and return how many there are. Raises BadInput on the first row that cannot be used."""
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
    there = source.columns()
    for field in ("user_id", "item_id", "timestamp", "weight"):
        name = getattr(columns, field)
        if not name and field in ("user_id", "item_id"):
            raise BadInput(f"data.columns.{field} is empty; name the column of {source.path} that holds it")
        if name and name not in there:
            without = ' or to ""' if field == "timestamp" else ""
            source.refuse(
                f"there is no column {name} among {', '.join(there)}; set data.columns.{field} to one of these{without}"
            )
    fields = (columns.user_id, columns.item_id, columns.timestamp, columns.weight)
    used = list(dict.fromkeys(name for name in fields if name))
    source.refuse_duplicate_columns(there, used)
    names = used if source.kind == "json" else there
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
                held = (
                    f"{item_id}::VARCHAR[]" if listed else f"string_split({item_id}::VARCHAR, {_text(list_separator)})"
                )
                item_id, items = f"list_filter({held}, lambda item: NOT is_void(item))", _LIST_OF_ITEMS
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
    """The table function that reads the file, while its filesystem is registered. The columns come out as c0, c1, …:
    DuckDB takes no empty name, and none twice, nor two that differ in case."""
    filesystem, path = source.location
    scheme = f"input{number}"
    if not source.local:
        connection.register_filesystem(_InputFilesystem(filesystem, scheme))
        path = f"{scheme}://{path}"
    path = _text(re.sub(r"([*?\[])", r"[\1]", path))  # one file, whatever its name would match
    cells = [f"c{place}" for place in range(len(names))]
    called = f"AS held({', '.join(cells)})"
    options = f"compression = '{'gzip' if source.gzipped else 'none'}', hive_partitioning = false"
    try:
        match source.kind:
            case "parquet":
                yield f"read_parquet({path}, hive_partitioning = false) {called}"
            case "json":
                keys = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in names)
                yield f"read_json({path}, {options}, format = 'newline_delimited', columns = {{{keys}}}) {called}"
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
            source.refuse(f"column {name} holds {kind.lower()} where one value is due; give one value a row")


def _refuse_invalid_cells(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], columns: ColumnNames
) -> None:
    first = first_row(
        connection,
        "SELECT file, row, fault, held FROM events_read WHERE fault IS NOT NULL ORDER BY file, row, place LIMIT 1",
    )
    if first is None:
        return
    file, row, fault, held = first
    name = getattr(columns, fault)
    where = f"row {row}, column {name}"
    if held is None or not held.strip():
        sources[file].refuse(f"{where} is empty; fill it or leave the row out")
    dues = {"timestamp": "a number or a date (2014-07-23, 2014-07-23T10:00:00)", "weight": "a number (at most 3.4e38)"}
    sources[file].refuse(f"{where} holds {held[:60]!r}, which is not {dues[fault]}; mend it")


def _refuse_mixed_times(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], columns: ColumnNames) -> None:
    """Numbers and dates have no common order."""
    seen = connection.execute(
        "SELECT dated, min((file, row)) FROM events_read GROUP BY dated ORDER BY min((file, row))"
    ).fetchall()
    if len(seen) == 2:
        (dated, _), (_, (file, row)) = seen
        earlier, later = ("dates", "a number") if dated else ("numbers", "a date")
        sources[file].refuse(
            f"row {row}, column {columns.timestamp} holds {later} where the rows before hold {earlier}; write all alike"
        )


def _reason(error: duckdb.Error) -> str:
    """DuckDB's message without its advice, which speaks of options that nobody has here."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "state machine reached an invalid state" in lines[0]:
        return "mixed line ends; save it with one kind"
    found = re.search(r"on Line: (\d+)", lines[0])
    if found is None:
        return f"cannot be read ({lines[0].partition(': ')[2] or lines[0]}); mend the file"
    told = next((line for line in lines[1:] if not line.startswith(("Original Line", "Possible"))), "malformed")
    return f"line {found[1]} cannot be read ({told.rstrip('.')}); mend the file"


def _id(name: str, kind: str) -> str:
    """Tables with gaps turn whole numbers into floats; as an id, 7.0 is 7, as it is in the catalogue."""
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
