"""Committed tables as pandas, and small inputs to ingest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from recsae.schemas.base import SPLITS
from recsae.store.run_store import Committed

USERS = ("h1", "h2", "h3")
"""One user of each part under seed 0, as are 4, 5 and 6: ingest needs users in every part."""


def interactions(done: Committed) -> pd.DataFrame:
    """All events with external ids and split, by user and position."""
    frames = []
    for split in SPLITS:
        tables = [done.read_table(name) for name in done.files(f"interactions/{split}/")]
        frames.append(pa.concat_tables(tables).to_pandas().assign(split=split))
    events = pd.concat(frames).sort_values(["user_idx", "position"]).reset_index(drop=True)
    events["user_id"] = users(done).user_id.to_numpy()[events.user_idx]
    events["item_id"] = items(done).item_id.to_numpy()[events.item_idx]
    return events


def cases(done: Committed) -> pd.DataFrame:
    return pa.concat_tables([done.read_table(name) for name in done.files("cases/")]).to_pandas()


def items(done: Committed) -> pd.DataFrame:
    return done.read_table("items.parquet").to_pandas()


def users(done: Committed) -> pd.DataFrame:
    return done.read_table("users.parquet").to_pandas()


def attributes(done: Committed, item_id: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    table = done.read_table("items.parquet")
    place = table.column("item_id").to_pylist().index(item_id)
    for pair in table.column("attributes")[place].as_py():
        found.setdefault(pair["name"], []).append(pair["value"])
    return found


def random_events(n_users: int = 40, n_items: int = 25, n_events: int = 600, seed: int = 0) -> pd.DataFrame:
    """Events with ties in time, ids whose string order differs from their numeric order, and ratings."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in rng.integers(0, n_users, n_events)],
            "item_id": [str(item) for item in rng.zipf(1.3, n_events) % n_items],
            "timestamp": rng.integers(0, 200, n_events),
            "rating": rng.integers(1, 6, n_events).astype(float),
        }
    )


def write_lines(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)
