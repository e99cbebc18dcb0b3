"""The stage `ingest`: turns input files into events, catalogue, users and cases by reading, filtering and splitting.

Large tables live in an embedded database that spills to a temporary folder, and are streamed to Parquet. This module
holds the order of the steps and the metrics; the rules of each step are in a module of their own.
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
from recsae.data.tags import TAGS, choose_tags, load_tags
from recsae.data.writer import WriteSummary, write_events
from recsae.errors import BadInput
from recsae.observability import progress
from recsae.schemas.base import PARTS
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def ingest(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write interactions, cases, items and users; returns their counts.

    Indices of the previous night's users and items are kept. Raises BadInput naming the file, column and row that
    cannot be used.
    """
    files = dataset(config)
    with temporary_database(config.resources.ingest_memory_gb) as connection:
        return _ingest(connection, config, files, inputs.get(PREVIOUS + "ingest"), out)


def _ingest(
    connection: duckdb.DuckDBPyConnection, config: Config, files: Dataset, previous: Committed | None, out: Attempt
) -> Metrics:
    timer = _StepTimer()
    progress.phase("reading items and users")
    cleaned = load_metadata(connection, "item_rows", files.items)
    cleaned.update(load_metadata(connection, "user_rows", files.users))
    cleaned.update(load_tags(connection, files.tags))
    timer.log(
        "metadata",
        f"{len(files.items.sources)} files of items, {len(files.tags.sources)} of tags, {len(files.users.sources)} of "
        f"users; cleaned {cleaned['titles']} titles and cut {cleaned['titles_cut']}, cleaned {cleaned['values']} "
        f"attribute values and cut {cleaned['values_cut']}, {cleaned['not_utf8']} cells not UTF-8",
    )
    progress.phase("reading events")
    read = read_events(connection, files.interactions, files.columns, config.data.list_separator)
    timer.log("read", f"{read} events from {len(files.interactions)} files")
    progress.phase("filtering events")
    kept = filter_events(connection, config, previous)
    users, items = kept.users - kept.inactive_users, kept.items - kept.inactive_items
    timer.log("filtered", f"{kept.events} events, {users} users, {items} items left, {kept.rounds} rounds")
    parts = _users_by_part(connection, users)
    refuse_unmatched_ids(connection, files.items)
    if config.split.kind == "time":
        split_by_time(connection, config, kept.events)
        timer.log("split", "by time")
    progress.phase("writing cases")
    written = write_events(connection, config, kept, out)
    _refuse_empty_split(config, written)
    timer.log("written", f"{written.cases} cases, {written.events}")
    progress.phase("writing the catalogue")
    tags = choose_tags(connection, files.tags, config.data.min_tag_weight)
    if files.tags.sources:
        timer.log("tags", _tags_told(tags))
    item_counts = write_items(connection, files.items, written.popularity, out)
    write_users(connection, files.users, out)
    if files.items.sources and item_counts["without_row"]:
        log.warning("%d of %d items have no row in data.items", item_counts["without_row"], kept.items)
    if files.items.sources and files.items.title and item_counts["without_title"] == kept.items:
        log.warning("no item has a title in column %s of the items; set data.columns.title", files.items.title)
    timer.log("catalogue", f"{kept.items} items, {item_counts['without_title']} without a title")
    attributes = [*files.items.attributes, *([TAGS] if files.tags.sources else [])]
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
        "items_without_row": item_counts["without_row"],
        "items_without_title": item_counts["without_title"],
        "items_by_attribute": {name: item_counts[f"with {name}"] for name in attributes},
        **({TAGS: tags} if files.tags.sources else {}),
        "seconds": timer.seconds,
    }


def _tags_told(tags: Mapping[str, int]) -> str:
    return (
        f"{tags['rows']} rows, {tags['rows_of_no_item']} of them of no item here; of {tags['distinct']} tags left out "
        f"{tags['too_few_items']} of too few items and {tags['of_one_user']} of one user; {tags['too_light']} tags of "
        "items too light"
    )


def _users_by_part(connection: duckdb.DuckDBPyConnection, users: int) -> dict[str, int]:
    """Active users by part. Raises BadInput if a part has none: the stage that uses it would have no data."""
    counted = connection.execute("SELECT part, count(*) FROM users WHERE events > 0 GROUP BY part").fetchall()
    parts: dict[str, int] = dict.fromkeys(PARTS, 0) | dict(counted)
    for part, count in parts.items():
        if not count:
            raise BadInput(f"the part {part} has no users (of {users}); give more users or another seed")
    return parts


def _refuse_empty_split(config: Config, written: WriteSummary) -> None:
    for split, events in written.events.items():
        if not events:
            raise BadInput(
                f'split.kind = "{config.split.kind}" leaves no events in {split}; lower data.min_user_events and '
                f"data.min_item_events or give more events"
            )


class _StepTimer:
    """Records the seconds of each step and logs a line for it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def log(self, step: str, message: str) -> None:
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 3)
        self._last = now
        log.info("ingest: %s: %s (%.1f s)", step, message, self.seconds[step])
