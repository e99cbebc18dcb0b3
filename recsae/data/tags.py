"""A side table of tags: read row by row, and of each item those kept that several items and users give.

A tag that nearly all of its rows have from one user is a list of that user's, such as `toplist06`, and says nothing to
anyone else.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from recsae.data.cells import cleaned_text, identifier, read_text
from recsae.data.database import count_rows, first_row
from recsae.data.formats import TagFiles
from recsae.data.sources import Row, Source
from recsae.data.text import VALUE_LIMIT, is_utf8

log = logging.getLogger(__name__)

TAGS = "tags"
"""The attribute that the tags become."""
MIN_ITEMS = 3
"""Tags of fewer items are left out."""
MIN_USERS = 1.25
"""Least exponential of the entropy of a tag's items over users. 1 is one user; one with 94 % of them has 1.25."""
_ROWS = 50_000
_SCHEMA = pa.schema([("id", pa.string()), ("tag", pa.string()), ("weight", pa.float64()), ("giver", pa.string())])


def load_tags(connection: duckdb.DuckDBPyConnection, files: TagFiles) -> Counter[str]:
    """Read the files into the table `tag_rows`; returns counts of what cleaning changed, as `load_metadata` does.

    Raises BadInput on a file without the columns, or a row without an item or a number as its weight.
    """
    connection.execute("CREATE TABLE tag_rows (id VARCHAR, tag VARCHAR, weight DOUBLE, giver VARCHAR)")
    cleaned: Counter[str] = Counter()
    for source in files.sources:
        rows = _tag_rows(source, files, cleaned)
        count = 0
        while batch := list(itertools.islice(rows, _ROWS)):
            count += len(batch)
            connection.register("staged", pa.Table.from_pylist(batch, schema=_SCHEMA))
            connection.execute("INSERT INTO tag_rows SELECT * FROM staged")
            connection.unregister("staged")
        if not count:
            source.refuse("the table has no tags; fill it or leave it out of the config")
    if cleaned["not_utf8"]:
        log.warning("%d tags are not UTF-8 text and lose letters; save data.tags as UTF-8", cleaned["not_utf8"])
    return cleaned


def choose_tags(connection: duckdb.DuckDBPyConnection, files: TagFiles, min_weight: float | None) -> dict[str, int]:
    """Write the table `item_tags` of the tags of each item, the heaviest first; returns how many were left out why.

    Reads `tag_rows` and `items`. Raises BadInput if no row is of an item of the events.
    """
    connection.execute(
        """
        CREATE TABLE item_tag AS SELECT id, tag, round(sum(weight), 9) AS weight
        FROM tag_rows JOIN items ON id = item_id GROUP BY id, tag
        """
    )
    if files.sources and not count_rows(connection, "item_tag"):
        _refuse_unmatched(connection, files)
    light = "weight <= 0" if min_weight is None else f"weight <= 0 OR weight < {min_weight!r}"
    pairs = count_rows(connection, "item_tag")
    connection.execute(f"DELETE FROM item_tag WHERE {light}")
    connection.execute(
        """
        CREATE TABLE tag_facts AS
        WITH given AS (
            SELECT tag, giver, count(DISTINCT id) AS items FROM tag_rows JOIN item_tag USING (id, tag)
            WHERE giver IS NOT NULL GROUP BY tag, giver
        ), shares AS (SELECT tag, items / sum(items) OVER (PARTITION BY tag) AS share FROM given),
        givers AS (SELECT tag, round(exp(-sum(share * ln(share))), 9) AS users FROM shares GROUP BY tag)
        SELECT tag, count(*) AS items, any_value(users) AS users
        FROM item_tag LEFT JOIN givers USING (tag) GROUP BY tag
        """
    )
    rare, lists = f"items < {MIN_ITEMS}", f"items >= {MIN_ITEMS} AND users < {MIN_USERS}"
    connection.execute(
        f"""
        CREATE TABLE item_tags AS SELECT id AS tagged_id, list(tag ORDER BY weight DESC, tag) AS tags
        FROM item_tag WHERE tag NOT IN (SELECT tag FROM tag_facts WHERE {rare} OR {lists}) GROUP BY id
        """
    )
    return {
        "rows": count_rows(connection, "tag_rows"),
        "rows_of_no_item": count_rows(connection, "tag_rows ANTI JOIN items ON id = item_id"),
        "distinct": count_rows(connection, "tag_facts"),
        "too_light": pairs - count_rows(connection, "item_tag"),
        "too_few_items": count_rows(connection, f"tag_facts WHERE {rare}"),
        "of_one_user": count_rows(connection, f"tag_facts WHERE {lists}"),
    }


def _tag_rows(source: Source, files: TagFiles, cleaned: Counter[str]) -> Iterator[dict[str, Any]]:
    columns = source.columns()
    id_column = next((name for name in files.ids if name in columns), None)
    weight = files.weight if files.weight in columns or files.weight_named else ""
    used = {"data.columns.item_id": id_column or files.ids[0], "data.columns.tag": files.tag}
    used |= {"data.columns.tag_weight": weight} if weight else {}
    for key, name in used.items():
        if name not in columns:
            source.refuse(f"there is no column {name} among {', '.join(columns)}; rename it or set {key}")
    source.refuse_duplicate_columns(columns, [*used.values(), files.user])
    for row, cells in source.rows([*used.values(), files.user]):
        text = read_text(source, row, files.tag, cells.get(files.tag)) or ""
        cleaned["not_utf8"] += not is_utf8(text)
        tag = cleaned_text(text.lower(), VALUE_LIMIT, "values", cleaned)
        if tag:
            yield {
                "id": identifier(source, row, used["data.columns.item_id"], cells),
                "tag": tag,
                "weight": _weight(source, row, weight, cells) if weight else 1.0,
                "giver": (read_text(source, row, files.user, cells.get(files.user)) or None) if files.user else None,
            }


def _weight(source: Source, row: int, column: str, cells: Row) -> float:
    text = read_text(source, row, column, cells.get(column)) or ""
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        source.refuse(f"row {row}, column {column} is {text[:60]!r}, expected a number; give one")
    return weight


def _refuse_unmatched(connection: duckdb.DuckDBPyConnection, files: TagFiles) -> None:
    ids = first_row(connection, "SELECT (SELECT min(item_id) FROM items), (SELECT min(id) FROM tag_rows)")
    assert ids is not None
    files.sources[0].refuse(
        f"no row tags an item of the events, where ids look like {ids[0][:60]!r} and here like {ids[1][:60]!r}; write "
        "the same ids in both"
    )
