"""Metadata of items and users: read row by row, cleaned, joined on the id, and written in the order of the indices."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from recsae.data.cells import cleaned_text, identifier, read_text
from recsae.data.database import first_row
from recsae.data.formats import MetadataFiles
from recsae.data.sources import Row, Source
from recsae.data.tags import TAGS
from recsae.data.text import TITLE_LIMIT, VALUE_LIMIT, clean, is_utf8
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


def load_metadata(connection: duckdb.DuckDBPyConnection, name: str, metadata: MetadataFiles) -> Counter[str]:
    """Read metadata files into the table `name`. Raises BadInput on rows that cannot be joined.

    Returns counts: `titles` and `values` that were changed by cleaning, those truncated (`titles_cut`, `values_cut`),
    and cells that are `not_utf8`.
    """
    connection.execute(
        f"CREATE TABLE {name} (file INTEGER, row BIGINT, id VARCHAR, title VARCHAR, "
        f"attributes STRUCT(name VARCHAR, value VARCHAR)[])"
    )
    cleaned: Counter[str] = Counter()
    seen: set[str] = set()
    for number, source in enumerate(metadata.sources):
        rows = _metadata_rows(source, number, metadata, cleaned, seen)
        count = 0
        while batch := list(itertools.islice(rows, _ROWS)):
            count += len(batch)
            staged = pa.Table.from_pylist(batch, schema=_SCHEMA)
            connection.register("staged", staged)
            connection.execute(f"INSERT INTO {name} SELECT * FROM staged")
            connection.unregister("staged")
        if not count:
            source.refuse("the table has no rows; fill it or leave it out of the config")
    _refuse_missing(metadata, seen)
    _refuse_duplicates(connection, name, metadata)
    if cleaned["not_utf8"]:
        files = ", ".join(source.redacted for source in metadata.sources)
        log.warning("%d cells of %s are not UTF-8 text and lose letters; save it as UTF-8", cleaned["not_utf8"], files)
    return cleaned


def _metadata_rows(
    source: Source, number: int, metadata: MetadataFiles, cleaned: Counter[str], seen: set[str]
) -> Iterator[dict[str, Any]]:
    columns = source.columns()
    id_column = next((name for name in metadata.ids if name in columns), None)
    if id_column is None:
        source.refuse(f"there is no column {metadata.ids[0]} among {', '.join(columns)}; rename it or set data.columns")
    used = [id_column, metadata.title, *metadata.attributes]
    source.refuse_duplicate_columns(columns, used)
    seen.update(columns)
    for row, cells in source.rows(used):
        if source.kind == "json":
            seen.update(cells)
        yield {
            "file": number,
            "row": row,
            "id": identifier(source, row, id_column, cells),
            "title": _title(source, row, metadata.title, cells, cleaned),
            "attributes": _attributes(source, row, metadata, cells, cleaned),
        }


def _title(source: Source, row: int, column: str, cells: Row, cleaned: Counter[str]) -> str | None:
    text = read_text(source, row, column, cells.get(column)) if column else None
    if text is None:
        return None
    cleaned["not_utf8"] += not is_utf8(text)
    return cleaned_text(text, TITLE_LIMIT, "titles", cleaned) or None


def _attributes(source: Source, row: int, metadata: MetadataFiles, cells: Row, cleaned: Counter[str]) -> Attributes:
    found = []
    for name, separators in metadata.attributes.items():
        for cell in _flatten(cells.get(name)):
            text = read_text(source, row, name, cell)
            if text is None:
                continue
            cleaned["not_utf8"] += not is_utf8(text)
            for part in _split(text, separators):
                part = part.lower() if name in metadata.lowercase else part
                value = cleaned_text(part, VALUE_LIMIT, "values", cleaned)
                if value and value not in metadata.placeholders:
                    found.append({"name": name, "value": value})
    return found


def _flatten(cell: Any) -> Iterator[Any]:
    """The values of a cell: itself, or the elements of a list; several paths are a list of lists."""
    for value in cell if isinstance(cell, list) else [cell]:
        yield from value if isinstance(value, list) else [value]


def _split(text: str, separators: Sequence[str]) -> list[str]:
    """The text split at each separator in turn, such as one between paths and one between the steps of a path."""
    parts = [text]
    for separator in separators:
        parts = [piece for part in parts for piece in part.split(separator)]
    return parts


def _refuse_missing(metadata: MetadataFiles, seen: set[str]) -> None:
    named = [(metadata.key, name) for name in metadata.attributes]
    if metadata.title_named:
        named.append(("data.columns.title", metadata.title))
    for key, name in named:
        if name not in seen:
            if not metadata.sources:
                raise BadInput(f"{key} names column {name}, but the config names no file that has it; name the file")
            files = ", ".join(source.path for source in metadata.sources)
            present = ", ".join(sorted(seen))
            raise BadInput(f"{key}: there is no column {name} in {files}, which has {present}; name one of these")


def _refuse_duplicates(connection: duckdb.DuckDBPyConnection, name: str, metadata: MetadataFiles) -> None:
    for number, source in enumerate(metadata.sources):
        if source.repeated_ids:
            continue
        duplicate = first_row(
            connection,
            f"SELECT id, min(row) AS first, max(row) FROM {name} WHERE file = ? "
            f"GROUP BY id HAVING count(*) > 1 ORDER BY first LIMIT 1",
            [number],
        )
        if duplicate:
            item_id, first, second = duplicate
            source.refuse(f"rows {first} and {second} have the same id {item_id}; keep one of them")


def refuse_unmatched_ids(connection: duckdb.DuckDBPyConnection, metadata: MetadataFiles) -> None:
    """Raises BadInput if no id matches those of `items`: then the two files write the same ids differently."""
    if not metadata.sources or first_row(connection, "SELECT 1 FROM items JOIN item_rows ON id = item_id LIMIT 1"):
        return
    ids = first_row(connection, "SELECT min(item_id), (SELECT id FROM item_rows ORDER BY file, row LIMIT 1) FROM items")
    assert ids is not None
    metadata.sources[0].refuse(
        f"no row describes an item of the events, where ids look like {ids[0][:60]!r} and here like {ids[1][:60]!r}; "
        f"write the same ids in both"
    )


def write_items(
    connection: duckdb.DuckDBPyConnection, metadata: MetadataFiles, popularity: np.ndarray, out: Attempt
) -> Counter[str]:
    """Write `items.parquet`; returns counts of items without a row or a title.

    Reads the tables `items`, `item_rows` and `item_tags`. `popularity` `(items,)` counts training events. An item with
    attribute `a` is counted under `with a`.
    """
    counts: Counter[str] = Counter()
    query = """
        SELECT item_idx, item_id, title, attributes, tags FROM items
        LEFT JOIN item_rows ON id = item_id LEFT JOIN item_tags ON tagged_id = item_id
        ORDER BY item_idx, file, row
    """
    with out.open_parquet("items.parquet", ITEMS) as writer:
        for batch in _grouped(connection, query):
            rows = []
            for item_idx, item_rows in batch:
                item_id = item_rows[0]["item_id"]
                known = [row for row in item_rows if row["attributes"] is not None]
                title = next((row["title"] for row in known if row["title"]), None)
                counts["without_row"] += not known
                counts["without_title"] += title is None
                tags = [{"name": TAGS, "value": tag} for tag in item_rows[0]["tags"] or ()]
                attributes = _merge([*known, {"attributes": tags}], metadata)
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


def write_users(connection: duckdb.DuckDBPyConnection, metadata: MetadataFiles, out: Attempt) -> None:
    """Write `users.parquet` from the tables `users` and `user_rows`."""
    query = """
        SELECT user_idx, user_id, part, events, attributes FROM users LEFT JOIN user_rows ON id = user_id
        ORDER BY user_idx, file, row
    """
    with out.open_parquet("users.parquet", USERS) as writer:
        for batch in _grouped(connection, query):
            rows = [
                user_rows[0] | {"attributes": _merge([row for row in user_rows if row["attributes"]], metadata)}
                for _, user_rows in batch
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=USERS))


def _grouped(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[list[tuple[int, list[Row]]]]:
    """The rows of a query grouped by its first column, the index, in batches of groups."""
    reader = connection.sql(query).to_arrow_reader(_ROWS)
    key = reader.schema.names[0]
    rows = (row for batch in reader for row in batch.to_pylist())
    groups = ((index, list(group)) for index, group in itertools.groupby(rows, lambda row: int(row[key])))
    while batch := list(itertools.islice(groups, _ROWS)):
        yield batch


def _merge(rows: list[Row], metadata: MetadataFiles) -> Attributes:
    """Distinct attribute values: attributes in the order of the config, values in the order of files and rows."""
    distinct = dict.fromkeys((pair["name"], pair["value"]) for row in rows for pair in row["attributes"])
    order = {name: number for number, name in enumerate(dict.fromkeys([*metadata.attributes, TAGS]))}
    return [{"name": name, "value": value} for name, value in sorted(distinct, key=lambda pair: order[pair[0]])]
