"""The table of cases of imported activations, loaded into a database with external ids replaced by indices.

The file is read row by row, so that errors name the file, row and column.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recsae.activations.imported_sources import cases_source
from recsae.config.schema import Config
from recsae.data.database import first_row
from recsae.data.sources import Row, Source
from recsae.data.text import cell_text, is_utf8
from recsae.schemas.base import PARTS
from recsae.store.run_store import Committed

_ROWS = 50_000
_TABLE = pa.schema(
    [
        ("row", pa.int64()),
        ("case_id", pa.int64()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("top_item_id", pa.string()),
        ("position", pa.int32()),
    ]
)
_INTEGER = re.compile(r"\s*[+-]?\d{1,19}\s*", re.ASCII)


def load_cases(connection: duckdb.DuckDBPyConnection, config: Config, ingested: Committed) -> int:
    """Create the table `cases` (row, case_id, user_idx, position, item_idx, top_idx, part); returns its rows.

    `part` is an index into PARTS; the position is 0 if the file has none. Raises BadInput on the first unusable case.
    """
    source = cases_source(config)
    count = _read(connection, source, config.probe.view)
    duplicate = first_row(
        connection,
        "SELECT case_id, min(row) AS first, max(row) FROM cases_read GROUP BY case_id HAVING count(*) > 1 "
        "ORDER BY first LIMIT 1",
    )
    if duplicate:
        source.refuse(f"rows {duplicate[1]} and {duplicate[2]} have the same case_id {duplicate[0]}; keep one of them")
    _read_ids(connection, ingested, "users", "user_id", "user_idx", "part")
    _read_ids(connection, ingested, "items", "item_id", "item_idx")
    for column, table, least in (
        ("user_id", "users", f"data.min_user_events = {config.data.min_user_events}"),
        ("item_id", "items", f"data.min_item_events = {config.data.min_item_events}"),
        ("top_item_id", "items", f"data.min_item_events = {config.data.min_item_events}"),
    ):
        key = column.removeprefix("top_")
        unknown = first_row(
            connection,
            f"SELECT row, {column}, count(*) OVER () FROM cases_read WHERE {column} IS NOT NULL "
            f"AND {column} NOT IN (SELECT {key} FROM {table}) ORDER BY row LIMIT 1",
        )
        if unknown:
            row, held, cases = unknown
            source.refuse(
                f"row {row}, column {column} holds {held[:60]!r}, which is not among the {table} of the interactions "
                f"({cases} such rows); {least} filters rare ones: lower it, or leave these cases out"
            )
    connection.execute(
        f"""
        CREATE TABLE cases AS
        SELECT row, case_id, user_idx, position, items.item_idx, top.item_idx AS top_idx,
            (list_position({list(PARTS)}, part) - 1)::TINYINT AS part
        FROM cases_read JOIN users USING (user_id) JOIN items USING (item_id)
        LEFT JOIN items top ON top.item_id = top_item_id
        """
    )
    connection.execute("DROP TABLE cases_read")
    return count


def _read(connection: duckdb.DuckDBPyConnection, source: Source, view: str) -> int:
    there = source.columns()
    wanted = [name for name in _TABLE.names[1:] if name in there]
    for name in ("case_id", "user_id", "item_id", *(["top_item_id"] if view == "recommended" else [])):
        if name not in there:
            view_too = ' or set probe.view = "input"' if name == "top_item_id" else ""
            source.refuse(f"there is no column {name} among {', '.join(there)}; name it so{view_too}")
    source.refuse_duplicate_columns(there, wanted)
    due = {"case_id", "user_id", "item_id"} | ({"top_item_id"} if view == "recommended" else set())
    connection.register("staged", _TABLE.empty_table())
    connection.execute("CREATE TABLE cases_read AS SELECT * FROM staged")
    rows = _rows(source, wanted, due)
    count = 0
    while batch := list(itertools.islice(rows, _ROWS)):
        count += len(batch)
        connection.register("staged", pa.Table.from_pylist(batch, schema=_TABLE))
        connection.execute("INSERT INTO cases_read SELECT * FROM staged")
    connection.unregister("staged")
    if not count:
        source.refuse("the table has no rows; fill it")
    return count


def _rows(source: Source, wanted: list[str], due: set[str]) -> Iterator[dict[str, Any]]:
    for row, cells in source.rows(wanted):
        held: dict[str, Any] = {name: _text(source, row, name, cells, name in due) for name in wanted}
        held["case_id"] = _integer(source, row, "case_id", held["case_id"], -(2**63), 2**63)
        if "position" in held:
            held["position"] = _integer(source, row, "position", held["position"] or "0", 0, 2**31)
        yield {"row": row, "position": 0, **held}


def _text(source: Source, row: int, column: str, cells: Row, due: bool) -> str | None:
    try:
        found = cell_text(cells.get(column)) or ""
    except TypeError as error:
        source.refuse(f"row {row}, column {column} holds a {error}, expected one value; flatten it")
    if not is_utf8(found):
        source.refuse(f"row {row}, column {column} is not valid UTF-8; write the file in UTF-8")
    if not found.strip():
        if due:
            source.refuse(f"row {row}, column {column} is empty; fill it or leave the row out")
        return None
    return found


def _integer(source: Source, row: int, column: str, held: str, least: int, beyond: int) -> int:
    number = int(held) if _INTEGER.fullmatch(held) else beyond
    if not least <= number < beyond:
        source.refuse(
            f"row {row}, column {column} holds {held[:60]!r}, which is no whole number from {least} to {beyond - 1}; "
            f"fix it"
        )
    return number


def _read_ids(connection: duckdb.DuckDBPyConnection, ingested: Committed, name: str, *columns: str) -> None:
    """Create the table `name` from some columns of ingest's table of that name, as a stream."""
    with ingested.data.open_input(f"{name}.parquet") as file, pq.ParquetFile(file) as table:
        schema = pa.schema([table.schema_arrow.field(column) for column in columns])
        batches: Iterable[pa.RecordBatch] = table.iter_batches(batch_size=_ROWS, columns=list(columns))
        reader = pa.RecordBatchReader.from_batches(schema, (batch.select(columns) for batch in batches))
        connection.register("ids", reader)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM ids")
        connection.unregister("ids")
