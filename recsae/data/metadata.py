"""The tables that describe items or users: read row by row, cleaned, joined on the id, and written in the order of
the ids inside.

It knows titles and attributes, and nothing of events but which ids they left.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from recsae.data.database import first_row
from recsae.data.formats import MetadataFiles
from recsae.data.sources import Row, Source
from recsae.data.text import TITLE_LIMIT, VALUE_LIMIT, cell_text, clean, is_utf8, normalise
from recsae.errors import BadInput
from recsae.schemas.base import ATTRIBUTES, ITEMS, USERS
from recsae.store.run_store import Attempt

log = logging.getLogger(__name__)

_ROWS = 50_000
_SCHEMA = pa.schema(
    [
        ("file", pa.int32()),
        ("row", pa.int64()),
        ("id", pa.string()),
        ("title", pa.string()),
        ("attributes", ATTRIBUTES),
    ]
)
Attributes = list[dict[str, str]]


def load_metadata(connection: duckdb.DuckDBPyConnection, name: str, listing: MetadataFiles) -> Counter[str]:
    """Read a listing into the table `name`. Raises BadInput on what cannot be joined.

    Counts `titles` and `values` that were mended, those that were cut (`titles_cut`, `values_cut`), and cells that are
    `not_utf8`.
    """
    connection.execute(
        f"CREATE TABLE {name} (file INTEGER, row BIGINT, id VARCHAR, title VARCHAR, "
        f"attributes STRUCT(name VARCHAR, value VARCHAR)[])"
    )
    cleaned: Counter[str] = Counter()
    seen: set[str] = set()
    for number, source in enumerate(listing.sources):
        rows = _metadata_rows(source, number, listing, cleaned, seen)
        count = 0
        while batch := list(itertools.islice(rows, _ROWS)):
            count += len(batch)
            staged = pa.Table.from_pylist(batch, schema=_SCHEMA)
            connection.register("staged", staged)
            connection.execute(f"INSERT INTO {name} SELECT * FROM staged")
            connection.unregister("staged")
        if not count:
            source.refuse("the table has no rows; fill it or leave it out of the config")
    _refuse_missing(listing, seen)
    _refuse_duplicates(connection, name, listing)
    if cleaned["not_utf8"]:
        files = ", ".join(source.redacted for source in listing.sources)
        log.warning("%d cells of %s are not UTF-8 text and lose letters; save it as UTF-8", cleaned["not_utf8"], files)
    return cleaned


def _metadata_rows(
    source: Source, number: int, listing: MetadataFiles, cleaned: Counter[str], seen: set[str]
) -> Iterator[dict[str, Any]]:
    columns = source.columns()
    id_column = next((name for name in listing.ids if name in columns), None)
    if id_column is None:
        source.refuse(f"there is no column {listing.ids[0]} among {', '.join(columns)}; rename it or set data.columns")
    wanted = [id_column, listing.title, *listing.attributes]
    source.refuse_duplicate_columns(columns, wanted)
    seen.update(columns)
    for row, cells in source.rows(wanted):
        if source.kind == "json":
            seen.update(cells)
        yield {
            "file": number,
            "row": row,
            "id": _id(source, row, id_column, cells),
            "title": _title(source, row, listing.title, cells, cleaned),
            "attributes": _attributes(source, row, listing, cells, cleaned),
        }


def _id(source: Source, row: int, column: str, cells: Row) -> str:
    found = _text(source, row, column, cells.get(column)) or ""
    if not found.strip():
        source.refuse(f"row {row}, column {column} is empty; fill it or leave the row out")
    if not is_utf8(found):
        source.refuse(f"row {row}, column {column} is not valid UTF-8; write the file in UTF-8")
    return found


def _title(source: Source, row: int, column: str, cells: Row, cleaned: Counter[str]) -> str | None:
    held = _text(source, row, column, cells.get(column)) if column else None
    if held is None:
        return None
    cleaned["not_utf8"] += not is_utf8(held)
    return _cleaned(held, TITLE_LIMIT, "titles", cleaned) or None


def _attributes(source: Source, row: int, listing: MetadataFiles, cells: Row, cleaned: Counter[str]) -> Attributes:
    found = []
    for name, separators in listing.attributes.items():
        for cell in _flatten(cells.get(name)):
            text = _text(source, row, name, cell)
            if text is None:
                continue
            cleaned["not_utf8"] += not is_utf8(text)
            for part in _split(text, separators):
                held = part.lower() if name in listing.lowercase else part
                value = _cleaned(held, VALUE_LIMIT, "values", cleaned)
                if value and value not in listing.void:
                    found.append({"name": name, "value": value})
    return found


def _cleaned(held: str, limit: int, counted: str, cleaned: Counter[str]) -> str:
    text, mended, cut = normalise(held, limit)
    cleaned[counted] += mended
    cleaned[f"{counted}_cut"] += cut
    return text


def _flatten(cell: Any) -> Iterator[Any]:
    """The cell, or what it lists; several paths come as lists in a list."""
    for held in cell if isinstance(cell, list) else [cell]:
        yield from held if isinstance(held, list) else [held]


def _split(text: str, separators: Sequence[str]) -> list[str]:
    """The text cut at each of the separators, in order: one between paths, the next between the steps of a path."""
    parts = [text]
    for separator in separators:
        parts = [piece for part in parts for piece in part.split(separator)]
    return parts


def _text(source: Source, row: int, column: str, cell: Any) -> str | None:
    try:
        return cell_text(cell)
    except TypeError as error:
        source.refuse(f"row {row}, column {column} holds a {error} where text or a list of texts is due; flatten it")


def _refuse_missing(listing: MetadataFiles, seen: set[str]) -> None:
    wanted = [(listing.key, name) for name in listing.attributes]
    if listing.title_named:
        wanted.append(("data.columns.title", listing.title))
    for key, name in wanted:
        if name not in seen:
            if not listing.sources:
                raise BadInput(f"{key} names column {name} and the config no file that could have it; name the file")
            files = ", ".join(source.path for source in listing.sources)
            there = ", ".join(sorted(seen))
            raise BadInput(f"{key}: there is no column {name} in {files}, where there are {there}; name one of these")


def _refuse_duplicates(connection: duckdb.DuckDBPyConnection, name: str, listing: MetadataFiles) -> None:
    for number, source in enumerate(listing.sources):
        if source.repeated_ids:
            continue
        twice = first_row(
            connection,
            f"SELECT id, min(row) AS first, max(row) FROM {name} WHERE file = ? "
            f"GROUP BY id HAVING count(*) > 1 ORDER BY first LIMIT 1",
            [number],
        )
        if twice:
            source.refuse(f"rows {twice[1]} and {twice[2]} have the same id {twice[0]}; keep one of them")


def refuse_unmatched_ids(connection: duckdb.DuckDBPyConnection, listing: MetadataFiles) -> None:
    """Ids that never meet those of `items` are written in two ways, and nothing would be known of any item."""
    if not listing.sources or first_row(connection, "SELECT 1 FROM items JOIN item_rows ON id = item_id LIMIT 1"):
        return
    ids = first_row(connection, "SELECT min(item_id), (SELECT id FROM item_rows ORDER BY file, row LIMIT 1) FROM items")
    assert ids is not None
    listing.sources[0].refuse(
        f"no row describes an item of the events, where ids are like {ids[0][:60]!r} and here like {ids[1][:60]!r}; "
        f"write the same ids in both"
    )


def write_items(
    connection: duckdb.DuckDBPyConnection, listing: MetadataFiles, popularity: np.ndarray, out: Attempt
) -> Counter[str]:
    """`items.parquet`, from the tables `items` and `item_rows`; `popularity` `(items,)` counts training events."""
    counts: Counter[str] = Counter()
    query = """
        SELECT item_idx, item_id, title, attributes FROM items LEFT JOIN item_rows ON id = item_id
        ORDER BY item_idx, file, row
    """
    with out.open_parquet("items.parquet", ITEMS) as writer:
        for batch in _grouped(connection, query):
            rows = []
            for item_idx, described in batch:
                item_id = described[0]["item_id"]
                known = [row for row in described if row["attributes"] is not None]
                title = next((row["title"] for row in known if row["title"]), None)
                counts["without_row"] += not known
                counts["without_title"] += title is None
                attributes = _merge(known, listing)
                for name in {attribute["name"] for attribute in attributes}:
                    counts[f"with {name}"] += 1
                rows.append(
                    {
                        "item_idx": item_idx,
                        "item_id": item_id,
                        "title": title or clean(item_id, TITLE_LIMIT) or f"item {item_idx}",
                        "attributes": attributes,
                        "popularity": int(popularity[item_idx]),
                    }
                )
            writer.write_table(pa.Table.from_pylist(rows, schema=ITEMS))
    return counts


def write_users(connection: duckdb.DuckDBPyConnection, listing: MetadataFiles, out: Attempt) -> None:
    """`users.parquet`, from the tables `users` and `user_rows`."""
    query = """
        SELECT user_idx, user_id, part, events, attributes FROM users LEFT JOIN user_rows ON id = user_id
        ORDER BY user_idx, file, row
    """
    with out.open_parquet("users.parquet", USERS) as writer:
        for batch in _grouped(connection, query):
            rows = [
                described[0] | {"attributes": _merge([row for row in described if row["attributes"]], listing)}
                for _, described in batch
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=USERS))


def _grouped(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[list[tuple[int, list[Row]]]]:
    """The rows of a query, those of one id together, in batches of ids. The first column is the id inside."""
    reader = connection.sql(query).to_arrow_reader(_ROWS)
    key = reader.schema.names[0]
    rows = (row for batch in reader for row in batch.to_pylist())
    groups = ((index, list(group)) for index, group in itertools.groupby(rows, lambda row: int(row[key])))
    while batch := list(itertools.islice(groups, _ROWS)):
        yield batch


def _merge(rows: list[Row], listing: MetadataFiles) -> Attributes:
    """Attributes in the order of the config, each value once, in the order of files and rows."""
    distinct = dict.fromkeys((held["name"], held["value"]) for row in rows for held in row["attributes"])
    order = {name: place for place, name in enumerate(listing.attributes)}
    return [{"name": name, "value": value} for name, value in sorted(distinct, key=lambda pair: order[pair[0]])]
