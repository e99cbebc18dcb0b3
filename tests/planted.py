"""A planted catalogue: items that bear one concept each, and users who follow one or two of them, in runs.

What a dictionary should find is known here by construction. Titles say nothing, so a concept can only be found through
behaviour and named through the attribute `genres`. Repeated calls with one seed write the same files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PLANTED: tuple[str, ...] = (
    "Horror",
    "Western",
    "Musical",
    "Animation",
    "Romance",
    "War",
    "Documentary",
    "Comedy",
    "Crime",
    "Fantasy",
    "Mystery",
    "Sports",
)
NOISE = 0.05
"""Share of events that follow no concept."""
RUN = (4, 8)
"""Events of one concept before a user turns to the other."""


def write_planted(
    folder: Path,
    *,
    n_users: int = 600,
    n_concepts: int = 8,
    items_per_concept: int = 30,
    events_per_user: tuple[int, int] = (20, 40),
    seed: int = 0,
) -> None:
    """Write `interactions.parquet` and `items.parquet`; item i bears concept `PLANTED[i % n_concepts]`."""
    rng = np.random.default_rng(seed)
    n_items = n_concepts * items_per_concept
    folder.mkdir(parents=True, exist_ok=True)
    items = pa.table(
        {
            "item_id": [f"item-{index:04d}" for index in range(n_items)],
            "title": [f"Film {index:04d}" for index in range(n_items)],
            "genres": [[PLANTED[index % n_concepts]] for index in range(n_items)],
        }
    )
    pq.write_table(items, folder / "items.parquet")
    users: list[int] = []
    events: list[int] = []
    for user in range(n_users):
        followed = rng.choice(n_concepts, size=min(int(rng.integers(1, 3)), n_concepts), replace=False)
        length = int(rng.integers(events_per_user[0], events_per_user[1] + 1))
        history = _history(rng, followed, length, n_concepts, items_per_concept)
        users += [user] * len(history)
        events += history
    interactions = pa.table(
        {
            "user_id": [f"user-{user:04d}" for user in users],
            "item_id": [f"item-{item:04d}" for item in events],
            "timestamp": pa.array(range(len(events)), pa.int64()),
        }
    )
    pq.write_table(interactions, folder / "interactions.parquet")


def _history(
    rng: np.random.Generator, followed: np.ndarray, length: int, n_concepts: int, items_per_concept: int
) -> list[int]:
    """Items of one user, none twice: runs over his concepts until `length`, or until he has seen all of them."""
    unseen = {concept: list(rng.permutation(items_per_concept)) for concept in range(n_concepts)}
    history: list[int] = []
    turn = 0
    while len(history) < length and any(unseen[concept] for concept in followed):
        concept = int(followed[turn % len(followed)])
        turn += 1
        for _ in range(int(rng.integers(RUN[0], RUN[1] + 1))):
            of = int(rng.integers(n_concepts)) if rng.random() < NOISE else concept
            if unseen[of] and len(history) < length:
                history.append(int(unseen[of].pop()) * n_concepts + of)
    return history
