"""Users as they stand today: all that they did, put to a recommender in batches, and their ids.

It knows chunks and the recommender's contract, and nothing of what is asked. Suffixes: see recommenders/base.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from recsae.activations.users import users_per_batch
from recsae.data.chunks import Chunk
from recsae.recommenders.base import Histories, Recommender
from recsae.recommenders.ranking import pad
from recsae.store.run_store import Committed


class Present(NamedTuple):
    """A batch of users."""

    user_B: np.ndarray
    """user_idx."""
    histories: Histories
    """The latest events of each, as many as the model sees."""
    seen: list[np.ndarray]
    """All events of each."""


def batches(chunk: Chunk, wanted: np.ndarray | None, model: Recommender, device: str = "cpu") -> Iterator[Present]:
    """The users of a chunk, or those of them that are among `wanted` (user_idx)."""
    places = np.arange(len(chunk.users)) if wanted is None else np.flatnonzero(np.isin(chunk.users, wanted))
    for first in range(0, len(places), users_per_batch(model)):
        some = places[first : first + users_per_batch(model)]
        seen = [chunk.items[chunk.offsets[place] : chunk.offsets[place + 1]] for place in some]
        recent = [items[-model.max_length :] for items in seen]
        yield Present(chunk.users[some], pad(recent, device, chunk.users[some]), seen)


def user_ids(ingested: Committed) -> np.ndarray:
    """External ids by user_idx, `(users,)` object."""
    table = ingested.read_table("users.parquet", ["user_idx", "user_id"])
    ids = np.empty(table.num_rows, dtype=object)
    ids[table["user_idx"].to_numpy()] = table["user_id"].to_numpy(zero_copy_only=False)
    return ids
