"""Filters events, numbers users and items, and splits: from `events_read` to `events`, `users` and `items`.

An index is the rank of the external id, so it does not depend on the order of rows. After a previous night, known users
and items keep their index, even without events, and new ones are numbered after them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import duckdb
import pyarrow.parquet as pq

from recsae.config.schema import Config
from recsae.data.database import count_rows, first_row
from recsae.errors import BadInput
from recsae.store.run_store import Committed

log = logging.getLogger(__name__)

LEAVE_ONE_OUT_EVENTS = 3
"""One event to train on, one to validate, one to test."""
# The order of a user's events. `split` is 0 for all events unless the files define it.
EVENT_ORDER = "split, timestamp, fraction, file, row, place"


@dataclass(frozen=True)
class FilterSummary:
    """Counts of what the filters kept and removed."""

    users: int
    """Indexed users, including known ones without events."""
    items: int
    inactive_users: int
    """Users of the previous night that have no events now."""
    inactive_items: int
    events: int
    below_min_weight: int
    events_filtered: int
    users_filtered: int
    items_filtered: int
    rounds: int


def filter_events(
    connection: duckdb.DuckDBPyConnection, config: Config, previous: Committed | None = None
) -> FilterSummary:
    """Create the tables `events` (user and item as ranks), `users` and `items`; returns the counts.

    `previous` is the ingest of the previous night. Raises BadInput if no events remain.
    """
    data = config.data
    read = count_rows(connection, "events_read")
    min_weight = "-inf" if data.min_weight is None else repr(data.min_weight)
    for side in ("user", "item"):
        connection.execute(
            f"CREATE TABLE {side}_ids AS SELECT {side}_id, row_number() OVER (ORDER BY {side}_id) - 1 AS rank "
            f"FROM (SELECT DISTINCT {side}_id FROM events_read WHERE weight >= '{min_weight}'::DOUBLE)"
        )
    split = "file" if config.split.kind == "given" else "0"
    connection.execute(
        f"CREATE TABLE events AS SELECT u.rank AS user, i.rank AS item, {split}::TINYINT AS split, "
        f"timestamp, fraction, file, row, place, weight FROM events_read "
        f"JOIN user_ids u USING (user_id) JOIN item_ids i USING (item_id) WHERE weight >= '{min_weight}'::DOUBLE"
    )
    connection.execute("DROP TABLE events_read")
    if config.data.replay_fraction < 1:
        _limit_to_oldest(connection, config.data.replay_fraction)
    weighted, users_before, items_before = (count_rows(connection, name) for name in ("events", "user_ids", "item_ids"))
    if not weighted:
        raise BadInput(f"data.min_weight = {data.min_weight} leaves none of {read} events; lower it")
    rounds = _k_core(connection, data.min_user_events, data.min_item_events)
    events = count_rows(connection, "events")
    if not events:
        raise BadInput(
            f"data.min_user_events = {data.min_user_events} and data.min_item_events = {data.min_item_events} leave "
            f"none of {weighted} events; lower them or give more events"
        )
    for side in ("user", "item"):
        _load_previous_ids(connection, side, previous)
    _number_ids(connection, config.seed)
    if config.split.kind == "leave-one-out":
        _refuse_short_histories(connection)
    users, items = count_rows(connection, "users"), count_rows(connection, "items")
    inactive_users, inactive_items = (
        count_rows(connection, f"{side}s WHERE rank IS NULL") for side in ("user", "item")
    )
    return FilterSummary(
        users=users,
        items=items,
        inactive_users=inactive_users,
        inactive_items=inactive_items,
        events=events,
        below_min_weight=read - weighted,
        events_filtered=weighted - events,
        users_filtered=users_before - (users - inactive_users),
        items_filtered=items_before - (items - inactive_items),
        rounds=rounds,
    )


def _limit_to_oldest(connection: duckdb.DuckDBPyConnection, share: float) -> None:
    """Keep the oldest share of each user's events, rounded up."""
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE events AS SELECT * EXCLUDE (place_of, of) FROM (
            SELECT *, row_number() OVER (PARTITION BY "user" ORDER BY {EVENT_ORDER}) AS place_of,
                count(*) OVER (PARTITION BY "user") AS of FROM events
        ) WHERE place_of <= ceil(of * {share!r}::DOUBLE)
        """
    )


def _k_core(connection: duckdb.DuckDBPyConnection, min_user_events: int, min_item_events: int) -> int:
    """Drop rare users and items until all are frequent enough; returns the rounds."""
    rounds = 0
    dropped = True
    while dropped:
        dropped = False
        rounds += 1
        for side, least in (("user", min_user_events), ("item", min_item_events)):
            rare = f'SELECT "{side}" FROM events GROUP BY "{side}" HAVING count(*) < {least}'
            row = first_row(connection, f'DELETE FROM events WHERE "{side}" IN ({rare})')
            dropped = dropped or bool(row and row[0])
    return rounds


def part_sql(id_column: str, seed: int) -> str:
    """SQL for the part of an id: half explain, a quarter select, a quarter score, by a hash of seed and id."""
    quarter = f"(md5_number_lower('{seed}:' || {id_column}) % 4)::INTEGER"
    return f"['explain', 'explain', 'select', 'score'][{quarter} + 1]"


def _load_previous_ids(connection: duckdb.DuckDBPyConnection, side: str, previous: Committed | None) -> None:
    """Create `previous_{side}s` with the indices of the previous night; empty on the first."""
    connection.execute(f"CREATE TABLE previous_{side}s ({side}_idx INTEGER, {side}_id VARCHAR)")
    if previous is None:
        return
    with previous.data.open_input(f"{side}s.parquet") as source:
        for batch in pq.ParquetFile(source).iter_batches(columns=[f"{side}_idx", f"{side}_id"]):
            connection.register("batch", batch)
            connection.execute(f"INSERT INTO previous_{side}s SELECT * FROM batch")
            connection.unregister("batch")


# A known id keeps its index; new ones follow in the order of the external ids.
_NUMBERED = """
SELECT coalesce(l.{side}_idx, (SELECT count(*) FROM previous_{side}s) - 1
        + row_number() OVER (PARTITION BY l.{side}_idx IS NULL ORDER BY k.rank))::INTEGER AS {side}_idx,
    k.rank, coalesce(k.{side}_id, l.{side}_id) AS {side}_id, coalesce(k.events, 0)::INTEGER AS events
FROM (
    SELECT rank, {side}_id, events
    FROM (SELECT "{side}" AS rank, count(*) AS events FROM events GROUP BY "{side}") JOIN {side}_ids USING (rank)
) k FULL OUTER JOIN previous_{side}s l USING ({side}_id)
"""


def _number_ids(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Create `users` and `items`; the rank of those without events is null.

    `first` is the offset of a user's events when all are in order; `part` is a hash of the external id, so it is the
    same every night.
    """
    connection.execute(
        f"""
        CREATE TABLE users AS
        SELECT *, (sum(events) OVER (ORDER BY user_idx) - events)::BIGINT AS first, {part_sql("user_id", seed)} AS part
        FROM ({_NUMBERED.format(side="user")})
        """
    )
    connection.execute(f"CREATE TABLE items AS SELECT item_idx, rank, item_id FROM ({_NUMBERED.format(side='item')})")


def _refuse_short_histories(connection: duckdb.DuckDBPyConnection) -> None:
    short = first_row(
        connection,
        f"SELECT user_id, events, count(*) OVER () FROM users WHERE events BETWEEN 1 AND {LEAVE_ONE_OUT_EVENTS - 1} "
        f"ORDER BY user_idx LIMIT 1",
    )
    if short:
        user_id, events, users = short
        raise BadInput(
            f'split.kind = "leave-one-out" needs {LEAVE_ONE_OUT_EVENTS} events of a user and user {user_id} has '
            f"{events} (users with so few: {users}); set data.min_user_events to {LEAVE_ONE_OUT_EVENTS} or more"
        )


def split_by_time(connection: duckdb.DuckDBPyConnection, config: Config, events: int) -> None:
    """Set `split` by cutting all events, in order of time, at the shares of the config."""
    test = round(events * config.split.test)
    validation = round(events * config.split.validation)
    if not (test and validation and events - test - validation > 0):
        raise BadInput(
            f"split.test = {config.split.test} and split.validation = {config.split.validation} cut {events} events "
            f"into a split with none; change the shares or give more events"
        )
    for split, cut in ((1, events - test - validation), (2, events - test)):
        connection.execute(
            f"UPDATE events SET split = {split} WHERE (timestamp, fraction, file, row, place) >= "
            f"(SELECT (timestamp, fraction, file, row, place) FROM events "
            f"ORDER BY timestamp, fraction, file, row, place LIMIT 1 OFFSET {cut})"
        )
