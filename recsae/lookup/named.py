"""Which item or user is meant: items by id, title or part of a title, users by id; else what is near, in a sentence."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from recsae.errors import BadInput
from recsae.lookup.served import Row, first_rows, rows_of
from recsae.store.run_store import Committed

NEAR = 5
"""Items or ids that are named to whoever asked for one that is not there, or for several at once."""


def find_item(ingested: Committed, asked: str) -> Row:
    """The row of ITEMS, by id, title, or a part of a title that no other has, in any case.

    Raises BadInput with the items whose id or title is near.
    """
    title = pc.field("title")
    for where in (
        pc.field("item_id") == pa.scalar(asked),
        pc.utf8_lower(title) == pa.scalar(asked.lower()),
        pc.match_substring(title, asked, ignore_case=True) if asked else pc.scalar(False),
    ):
        rows = rows_of(ingested, "items.parquet", None, where)
        if len(rows) == 1:
            return rows[0]
        if rows:
            rows.sort(key=lambda row: -row["popularity"])
            more = f" and {len(rows) - NEAR:,} more" if len(rows) > NEAR else ""
            raise BadInput(f"item {asked}: {len(rows):,} items are called so: {_told(rows)}{more}; give the id of one")
    near = _items_near(ingested, asked)
    raise BadInput(
        f"item {asked}: the catalogue has no such item, or a filter left it out"
        + (f"; near it: {_told(near)}" if near else "; give another id or title")
    )


def find_user(ingested: Committed, asked: str) -> Row:
    """The row of USERS with this id. Raises BadInput, with similar ids, where there is none."""
    rows = rows_of(ingested, "users.parquet", None, pc.field("user_id") == pa.scalar(asked))
    if not rows:
        near = _ids_near(ingested, asked)
        raise BadInput(
            f"user {asked}: the data has no such user, or a filter left them out; "
            + (f"near it: {', '.join(near)}" if near else "give another id")
        )
    return rows[0]


def _items_near(ingested: Committed, asked: str) -> list[Row]:
    """Items whose titles have all words of what was asked, else any long one of them; the most popular first."""
    words = [word for word in asked.split() if len(word) > 2]
    alike = [pc.match_substring(pc.field("title"), word, ignore_case=True) for word in words]
    for wanted in (_all(alike), _any(alike)):
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


def _told(rows: list[Row]) -> str:
    return ", ".join(_item(row["item_id"], row["title"][:60]) for row in rows[:NEAR])


def _item(item_id: str, title: str) -> str:
    return item_id if item_id == title else f"{item_id} ({title})"


def _ids_near(ingested: Committed, asked: str) -> list[str]:
    """Ids with the same beginning, cut until there are some."""
    for length in range(len(asked), 0, -1):
        begin = pc.starts_with(pc.field("user_id"), asked[:length], ignore_case=True)
        near = first_rows(ingested, "users.parquet", ["user_id"], begin, NEAR)
        if near:
            return [row["user_id"] for row in near]
    return []
