"""The stage that turns the user's files into events, catalogue, users and cases: read, filter, split, write.

Everything large lies in an embedded database that spills to a temporary folder, and leaves it as a stream. It knows
the order of the steps and their figures; each step's rules are in its own module.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import duckdb

from recsae.config.schema import Config
from recsae.data.database import temporary_database
from recsae.data.events import read_events
from recsae.data.filters import filter_events, split_by_time
from recsae.data.formats import Dataset, dataset
from recsae.data.metadata import load_metadata, refuse_unmatched_ids, write_items, write_users
from recsae.data.writer import WriteSummary, write_events
from recsae.errors import BadInput
from recsae.schemas.base import PARTS
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def ingest(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write interactions, cases, items and users; returns their counts. Ids inside go on from last night's.

    Raises BadInput naming the file, column and row that cannot be used.
    """
    found = dataset(config)
    with temporary_database(config.resources.ingest_memory_gb) as connection:
        return _ingest(connection, config, found, inputs.get(PREVIOUS + "ingest"), out)


def _ingest(
    connection: duckdb.DuckDBPyConnection, config: Config, found: Dataset, last: Committed | None, out: Attempt
) -> Metrics:
    clock = _StepTimer()
    cleaned = load_metadata(connection, "item_rows", found.items)
    cleaned.update(load_metadata(connection, "user_rows", found.users))
    clock.log(
        "described",
        f"{len(found.items.sources)} files of items, {len(found.users.sources)} of users; cleaned {cleaned['titles']} "
        f"titles and cut {cleaned['titles_cut']}, cleaned {cleaned['values']} attribute values and cut "
        f"{cleaned['values_cut']}, {cleaned['not_utf8']} cells not UTF-8",
    )
    read = read_events(connection, found.interactions, found.columns, config.data.list_separator)
    clock.log("read", f"{read} events from {len(found.interactions)} files")
    kept = filter_events(connection, config, last)
    users, items = kept.users - kept.inactive_users, kept.items - kept.inactive_items
    clock.log("filtered", f"{kept.events} events, {users} users, {items} items left, {kept.rounds} rounds")
    parts = _users_by_part(connection, users)
    refuse_unmatched_ids(connection, found.items)
    if config.split.kind == "time":
        split_by_time(connection, config, kept.events)
        clock.log("split", "by time")
    written = write_events(connection, config, kept, out)
    _refuse_empty_split(config, written)
    clock.log("written", f"{written.cases} cases, {written.events}")
    described = write_items(connection, found.items, written.popularity, out)
    write_users(connection, found.users, out)
    if found.items.sources and described["without_row"]:
        log.warning("%d of %d items have no row in data.items", described["without_row"], kept.items)
    if found.items.sources and found.items.title and described["without_title"] == kept.items:
        log.warning("no item has a title in column %s of the items; set data.columns.title", found.items.title)
    clock.log("catalogue", f"{kept.items} items, {described['without_title']} without a title")
    return {
        "users": kept.users,
        "items": kept.items,
        "events": kept.events,
        "events_by_split": written.events,
        "cases": written.cases,
        "without_events": {"users": kept.inactive_users, "items": kept.inactive_items},
        "users_by_part": parts,
        "density": kept.events / (users * items),
        "read": read,
        "filtered": {
            "events_below_min_weight": kept.below_min_weight,
            "events": kept.events_filtered,
            "users": kept.users_filtered,
            "items": kept.items_filtered,
        },
        "cleaned": {what: cleaned[what] for what in ("titles", "titles_cut", "values", "values_cut", "not_utf8")},
        "items_without_row": described["without_row"],
        "items_without_title": described["without_title"],
        "items_by_attribute": {name: described[f"with {name}"] for name in found.items.attributes},
        "seconds": clock.seconds,
    }


def _users_by_part(connection: duckdb.DuckDBPyConnection, users: int) -> dict[str, int]:
    """Raises BadInput where a part has none: nothing could be learnt, chosen or scored."""
    counted = connection.execute("SELECT part, count(*) FROM users WHERE events > 0 GROUP BY part").fetchall()
    parts: dict[str, int] = dict.fromkeys(PARTS, 0) | dict(counted)
    for part, count in parts.items():
        if not count:
            raise BadInput(f"no user fell to the part {part} (users: {users}); give more users or another seed")
    return parts


def _refuse_empty_split(config: Config, written: WriteSummary) -> None:
    for split, events in written.events.items():
        if not events:
            raise BadInput(
                f'split.kind = "{config.split.kind}" leaves no events in {split}; lower data.min_user_events and '
                f"data.min_item_events or give more events"
            )


class _StepTimer:
    """Seconds since the last step, and a line in the log for each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def log(self, step: str, said: str) -> None:
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 3)
        self._last = now
        log.info("ingest: %s: %s (%.1f s)", step, said, self.seconds[step])
