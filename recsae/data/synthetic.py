"""A synthetic catalogue of any size: each item has one concept, and users follow one or two of them, in runs.

The concepts that a dictionary should find are known by construction: the attribute `genres` names the concept, `brand`
is a decoy that no user follows, and titles carry no information. Every draw is a hash of the seed and the number drawn
for, so the files do not depend on the rows per table, and memory does not grow with users or events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.errors import BadInput
from recsae.hashing import GOLDEN, finalise

GENRES = re.findall(
    r"\w+",
    "Horror Western Musical Animation Romance War Documentary Comedy Crime Fantasy Mystery Sports Gardening Cooking "
    "Travel Fishing Painting Sailing Astronomy Chess Knitting Cycling Photography Camping Yoga Pottery Opera Jazz "
    "Ballet History Geology Railways Aviation Sculpture Poetry Robotics Baking Archery Surfing Climbing Origami "
    "Fencing Beekeeping Carpentry Fashion Jewellery Architecture Philosophy Hiking Skiing",
)
STYLES = ["", *re.findall(r"\w+", "Arctic Desert Island Medieval Modern Rural Tropical Urban Victorian Nordic Classic")]
MAX_CONCEPTS = len(GENRES) * len(STYLES)
BRANDS = 200
EXPONENT = 1.0
"""Zipf exponent of the popularity within a concept."""
STRAY_EVERY = 10
"""One event in STRAY_EVERY follows no concept. These events walk through the catalogue, so that with STRAY_EVERY events
per item every item occurs, even those too unpopular to be drawn."""
RUN_LENGTH = (3, 6)
"""Least and most events of one concept before a user switches to the other."""
MIN_EVENTS = 6
"""Least events per user on average; each user has at least half of that, as leave-one-out needs."""
ROWS_PER_TABLE = 500_000
FIRST_DAY = 1_700_000_000
DAY, HOUR = 86_400, 3_600

ITEMS = pa.schema(
    [("item_id", pa.string()), ("title", pa.string()), ("genres", pa.list_(pa.string())), ("brand", pa.string())]
)
INTERACTIONS = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])


class SyntheticSpec(NamedTuple):
    """Sizes and seed of a synthetic catalogue, which determine it. Item i has concept i modulo `concepts`."""

    users: int
    items: int
    events: int
    concepts: int
    seed: int

    def check(self) -> None:
        """Raises BadInput, naming the option, if there is no such catalogue."""
        for option, value in (("--users", self.users), ("--concepts", self.concepts)):
            if value < 1:
                raise BadInput(f"{option} {value}: give at least 1")
        if self.concepts > MAX_CONCEPTS:
            raise BadInput(f"--concepts {self.concepts}: there are names for {MAX_CONCEPTS}; give at most that many")
        if not self.concepts <= self.items < 2**31:
            raise BadInput(f"--items {self.items}: give at least one per concept ({self.concepts}), and less than 2^31")
        if not MIN_EVENTS * self.users <= self.events < 2**48:
            raise BadInput(
                f"--events {self.events}: give at least {MIN_EVENTS} per user ({MIN_EVENTS * self.users}), and less "
                "than 2^48"
            )
        if not 0 <= self.seed < 2**32:
            raise BadInput(f"--seed {self.seed}: give 0 to {2**32 - 1}")


def concept_name(concept: int) -> str:
    return f"{STYLES[concept // len(GENRES)]} {GENRES[concept % len(GENRES)]}".strip()


def item_tables(spec: SyntheticSpec, rows: int = ROWS_PER_TABLE) -> Iterator[pa.Table]:
    """The items in order of their ids, `rows` per table."""
    names = pa.array([concept_name(concept) for concept in range(spec.concepts)])
    brands = pa.array([f"Brand {number:03d}" for number in range(BRANDS)])
    for start in range(0, spec.items, rows):
        item = np.arange(start, min(start + rows, spec.items))
        genre = names.take(pa.array(item % spec.concepts))
        brand = brands.take(pa.array((_uniform(spec.seed, "brand", item) * BRANDS).astype(np.int64)))
        genres = pa.ListArray.from_arrays(pa.array(np.arange(len(item) + 1), pa.int32()), genre)
        columns = [_padded_ids("item-", item), _padded_ids("Item ", item), genres, brand]
        yield pa.Table.from_arrays(columns, schema=ITEMS)


def event_tables(spec: SyntheticSpec, rows: int = ROWS_PER_TABLE) -> Iterator[pa.Table]:
    """All events by user and time; each table holds about `rows` events of complete users."""
    popularity = _zipf_cdf(-(-spec.items // spec.concepts))
    users_per_table = max(1, rows * spec.users // spec.events)
    for start in range(0, spec.users, users_per_table):
        user = np.arange(start, min(start + users_per_table, spec.users))
        first, end = event_offset(spec, user), event_offset(spec, user + 1)
        owner = np.repeat(user, end - first)
        event = np.arange(first[0], end[-1])
        position = event - np.repeat(first, end - first)
        item = _items(spec, popularity, owner, position, event)
        joined = FIRST_DAY + (_uniform(spec.seed, "joined", user) * 365).astype(np.int64) * DAY
        columns = [
            _padded_ids("user-", user).take(pa.array(owner - start)),
            _padded_ids("item-", item),
            pa.array(np.repeat(joined, end - first) + position * HOUR),
        ]
        yield pa.Table.from_arrays(columns, schema=INTERACTIONS)


def event_offset(spec: SyntheticSpec, user: np.ndarray) -> np.ndarray:
    """The offset of each user's first event; for the number of users, the number of events.

    Events are divided evenly; then the boundary within each pair of users moves by up to half a share.
    """
    even = user * spec.events // spec.users
    second = (user % 2 == 1) & (user < spec.users)
    most = spec.events // spec.users // 2
    moved = np.rint((2 * _uniform(spec.seed, "moved", user) - 1) * most).astype(np.int64)
    return np.asarray(even + second * moved)


def followed_concepts(spec: SyntheticSpec, user: np.ndarray) -> np.ndarray:
    """The two concepts of each user, `(users, 2)`; for half of the users both are the same."""
    first = (_uniform(spec.seed, "first", user) * spec.concepts).astype(np.int64)
    step = (_uniform(spec.seed, "second", user) * max(spec.concepts - 1, 1)).astype(np.int64) + 1
    other = np.where(_uniform(spec.seed, "one", user) < 0.5, first, (first + step) % spec.concepts)
    return np.stack([first, other], 1)


def _items(
    spec: SyntheticSpec, popularity: np.ndarray, owner: np.ndarray, position: np.ndarray, event: np.ndarray
) -> np.ndarray:
    """The item of each event, drawn by popularity within the user's current concept."""
    length = RUN_LENGTH[0] + (_uniform(spec.seed, "run", owner) * (RUN_LENGTH[1] - RUN_LENGTH[0] + 1)).astype(np.int64)
    concept = followed_concepts(spec, owner)[np.arange(len(owner)), position // length % 2]
    n_items = (spec.items - concept - 1) // spec.concepts + 1
    rank = np.minimum(np.searchsorted(popularity, _uniform(spec.seed, "rank", event)), n_items - 1)
    return np.where(event % STRAY_EVERY == 0, _walk(spec, event // STRAY_EVERY), concept + rank * spec.concepts)


def _walk(spec: SyntheticSpec, step: np.ndarray) -> np.ndarray:
    """The item of each step of a walk that visits every item once, with successive items far apart."""
    stride = int(spec.items * 0.618) | 1
    while np.gcd(stride, spec.items) > 1:
        stride += 2
    return step % spec.items * stride % spec.items


def _zipf_cdf(ranks: int) -> np.ndarray:
    """The cumulative distribution of popularity ranks within a concept, the most popular first."""
    weight = np.arange(1, ranks + 1, dtype=np.float64) ** -EXPONENT
    return np.asarray(np.cumsum(weight) / weight.sum())


def _uniform(seed: int, stream: str, number: np.ndarray) -> np.ndarray:
    """One draw from [0, 1) per number, independent for each name of a stream."""
    name = np.frombuffer(stream.encode().ljust(8, b"\0")[:8], dtype="<u8")
    with np.errstate(over="ignore"):
        start = finalise(finalise(name + np.uint64(seed)) + (number.astype(np.uint64) + np.uint64(1)) * GOLDEN)
    return np.asarray((start >> np.uint64(11)) * 2.0**-53)


def _padded_ids(prefix: str, number: np.ndarray) -> pa.Array:
    """Ids such as `item-00000012`."""
    digits = pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), 8, "0")
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, pa.scalar(""))
