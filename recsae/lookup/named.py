"""Finds items by id, title or part of a title, and users by id; an unknown one is an error with suggestions."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from recsae.errors import BadInput
from recsae.lookup.served import Row, first_rows, rows_of
from recsae.store.run_store import Committed

NEAR = 5
"""Suggestions in the message about an unknown or ambiguous one."""


def find_item(ingested: Committed, query: str) -> Row:
    """The row of ITEMS with this id, this title, or this part of a title if it is unique; titles ignore case.

    Raises BadInput with the items of similar titles.
    """
    title = pc.field("title")
    for where in (
        pc.field("item_id") == pa.scalar(query),
        pc.utf8_lower(title) == pa.scalar(query.lower()),
        pc.match_substring(title, query, ignore_case=True) if query else pc.scalar(False),
    ):
        rows = rows_of(ingested, "items.parquet", None, where)
        if len(rows) == 1:
            return rows[0]
        if rows:
            rows.sort(key=lambda row: -row["popularity"])
            more = f" and {len(rows) - NEAR:,} more" if len(rows) > NEAR else ""
            raise BadInput(f"item {query}: {len(rows):,} items match: {_listed(rows)}{more}; give the id of one")
    similar = _similar_items(ingested, query)
    raise BadInput(
        f"item {query}: the catalogue has no such item, or a filter left it out"
        + (f"; similar: {_listed(similar)}" if similar else "; give another id or title")
    )


def find_user(ingested: Committed, query: str) -> Row:
    """The row of USERS with this id. Raises BadInput, with similar ids, if there is none."""
    rows = rows_of(ingested, "users.parquet", None, pc.field("user_id") == pa.scalar(query))
    if not rows:
        similar = _similar_ids(ingested, query)
        raise BadInput(
            f"user {query}: the data has no such user, or a filter left them out; "
            + (f"similar: {', '.join(similar)}" if similar else "give another id")
        )
    return rows[0]


def _similar_items(ingested: Committed, query: str) -> list[Row]:
    """Items whose titles have all long words of the query, else any of them, most popular first."""
    words = [word for word in query.split() if len(word) > 2]
    matches = [pc.match_substring(pc.field("title"), word, ignore_case=True) for word in words]
    for wanted in (_all(matches), _any(matches)):
        rows = rows_of(ingested, "items.parquet", ("item_id", "title", "popularity"), wanted) if words else []
        if rows:
            return sorted(rows, key=lambda row: -row["popularity"])
    return []


def _all(conditions: list[pc.Expression]) -> pc.Expression:
    found = pc.scalar(True)
    for condition in conditions:
        found = found & condition
    return found


def _any(conditions: list[pc.Expression]) -> pc.Expression:
    found = pc.scalar(False)
    for condition in conditions:
        found = found | condition
    return found


def _listed(rows: list[Row]) -> str:
    return ", ".join(_item(row["item_id"], row["title"][:60]) for row in rows[:NEAR])


def _item(item_id: str, title: str) -> str:
    return item_id if item_id == title else f"{item_id} ({title})"


def _similar_ids(ingested: Committed, query: str) -> list[str]:
    """Ids with the longest prefix of the query that any id has."""
    for length in range(len(query), 0, -1):
        prefix = pc.starts_with(pc.field("user_id"), query[:length], ignore_case=True)
        similar = first_rows(ingested, "users.parquet", ["user_id"], prefix, NEAR)
        if similar:
            return [row["user_id"] for row in similar]
    return []
