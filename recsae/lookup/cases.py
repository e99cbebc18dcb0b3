"""Cases of the evidence, with what lies around them: the item that the view shows, its text, the user's history, and
what the judge said.

Targets are never read. It knows tables, and nothing of why the cases are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.data.chunks import chunk_of
from recsae.lookup.served import Row, Served
from recsae.schemas.base import SPLITS
from recsae.store.tables import among


class NamedItem(NamedTuple):
    """An item as people know it."""

    item_id: str
    title: str


def items(served: Served, wanted: Iterable[int | None]) -> dict[int, NamedItem]:
    """By item_idx; nulls among `wanted` are left out."""
    known = {item for item in wanted if item is not None}
    rows = served.rows("ingest", "items.parquet", ("item_idx", "item_id", "title"), among("item_idx", known))
    return {row["item_idx"]: NamedItem(row["item_id"], row["title"]) for row in rows}


def user_ids(served: Served, wanted: Iterable[int]) -> dict[int, str]:
    """By user_idx."""
    rows = served.rows("ingest", "users.parquet", ("user_idx", "user_id"), among("user_idx", wanted))
    return {row["user_idx"]: row["user_id"] for row in rows}


def events(served: Served, users: Collection[int]) -> dict[int, list[Row]]:
    """All events of some users, in order: rows of `position`, `item_idx`, `timestamp` and `split`.

    Only the files of these users' ranges are opened, and only their rows are held.
    """
    ingested = served.made["ingest"]
    found: dict[int, list[Row]] = {user: [] for user in users}
    columns = ("user_idx", "position", "item_idx", "timestamp")
    for chunk in sorted(set(chunk_of(ingested, np.array(sorted(users), dtype=np.int64)).tolist())):
        for split in SPLITS:
            name = f"interactions/{split}/chunk-{chunk:05d}.parquet"
            for row in served.rows("ingest", name, columns, among("user_idx", users)):
                found[row.pop("user_idx")].append({**row, "split": split})
    for rows in found.values():
        rows.sort(key=lambda row: row["position"])
    return found


def verdicts(served: Served, concepts: Iterable[str], wanted: Iterable[int]) -> dict[tuple[str, int], float]:
    """The language model's values of concepts and items, in nats; pairs that it was not asked, or that failed, are not
    there."""
    where = among("concept", concepts, pa.string()) & among("item_idx", wanted) & pc.field("value").is_valid()
    rows = served.rows("scores", "verdicts.parquet", ("concept", "item_idx", "value"), where)
    return {(row["concept"], row["item_idx"]): row["value"] for row in rows if np.isfinite(row["value"])}


def centres(served: Served, latents: Iterable[int]) -> dict[int, float]:
    """By latent the value above which the language model's verdict on its concept is yes; fixed on select users."""
    where = among("latent", latents) & (pc.field("part") == "score") & (pc.field("judge") == "llm")
    where = where & (pc.field("control") == "none") & pc.field("centre").is_valid()
    rows = served.rows("scores", "scores.parquet", ("latent", "centre"), where)
    return {row["latent"]: row["centre"] for row in rows}


def says_yes(known: Mapping[tuple[str, int], float], concept: str, item: int, centre: float | None) -> bool | None:
    """The verdict on one pair; None where there is none."""
    value = known.get((concept, item))
    return None if value is None or centre is None else value > centre
