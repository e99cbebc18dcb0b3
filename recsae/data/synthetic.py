"""A planted catalogue of any size: items that bear one concept each, and users who follow one or two of them, in runs.

What a dictionary should find is known by construction: the attribute `genres` names the concept, `brand` is there to
be mistaken for one and nobody follows it, and titles say nothing. Every draw is a hash of the seed and of what is
drawn, so the files are the same however many rows are made at a time, and memory does not grow with users or events.
It knows numbers and names, and nothing of files or of who reads them.
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
"""Zipf's, of popularity within a concept."""
STRAY_EVERY = 10
"""One event in so many follows no concept; these walk through the catalogue, so that with so many events an item all of
it is met, whatever the law of popularity leaves out."""
RUN_LENGTH = (3, 6)
"""Events of one concept before a user turns to the other."""
MIN_EVENTS = 6
"""Of a user on average; each has at least half of that, which leave-one-out needs."""
ROWS_PER_TABLE = 500_000
FIRST_DAY = 1_700_000_000
DAY, HOUR = 86_400, 3_600

ITEMS = pa.schema(
    [("item_id", pa.string()), ("title", pa.string()), ("genres", pa.list_(pa.string())), ("brand", pa.string())]
)
INTERACTIONS = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])


class SyntheticSpec(NamedTuple):
    """How large it is, and the seed that decides all of it. Item i bears concept i modulo `concepts`."""

    users: int
    items: int
    events: int
    concepts: int
    seed: int

    def check(self) -> None:
        """Raises BadInput, naming the option, where there is no such catalogue."""
        for option, value in (("--users", self.users), ("--concepts", self.concepts)):
            if value < 1:
                raise BadInput(f"{option} {value}: give at least 1")
        if self.concepts > MAX_CONCEPTS:
            raise BadInput(f"--concepts {self.concepts}: there are names for {MAX_CONCEPTS}; give at most so many")
        if not self.concepts <= self.items < 2**31:
            raise BadInput(f"--items {self.items}: give at least one a concept ({self.concepts}), and less than 2^31")
        if not MIN_EVENTS * self.users <= self.events < 2**48:
            raise BadInput(
                f"--events {self.events}: give at least {MIN_EVENTS} a user ({MIN_EVENTS * self.users}), and less "
                "than 2^48"
            )
        if not 0 <= self.seed < 2**32:
            raise BadInput(f"--seed {self.seed}: give 0 to {2**32 - 1}")


def concept_name(concept: int) -> str:
    return f"{STYLES[concept // len(GENRES)]} {GENRES[concept % len(GENRES)]}".strip()


def item_tables(planted: SyntheticSpec, rows: int = ROWS_PER_TABLE) -> Iterator[pa.Table]:
    """The catalogue, in order of its ids."""
    names = pa.array([concept_name(concept) for concept in range(planted.concepts)])
    brands = pa.array([f"Brand {number:03d}" for number in range(BRANDS)])
    for start in range(0, planted.items, rows):
        item = np.arange(start, min(start + rows, planted.items))
        genre = names.take(pa.array(item % planted.concepts))
        brand = brands.take(pa.array((_uniform(planted.seed, "brand", item) * BRANDS).astype(np.int64)))
        genres = pa.ListArray.from_arrays(pa.array(np.arange(len(item) + 1), pa.int32()), genre)
        columns = [_padded_ids("item-", item), _padded_ids("Item ", item), genres, brand]
        yield pa.Table.from_arrays(columns, schema=ITEMS)


def event_tables(planted: SyntheticSpec, rows: int = ROWS_PER_TABLE) -> Iterator[pa.Table]:
    """All events, by user and time; some whole users at a time."""
    popularity = _zipf_cdf(-(-planted.items // planted.concepts))
    at_once = max(1, rows * planted.users // planted.events)
    for start in range(0, planted.users, at_once):
        user = np.arange(start, min(start + at_once, planted.users))
        first, end = event_offset(planted, user), event_offset(planted, user + 1)
        owner = np.repeat(user, end - first)
        event = np.arange(first[0], end[-1])
        position = event - np.repeat(first, end - first)
        item = _items(planted, popularity, owner, position, event)
        joined = FIRST_DAY + (_uniform(planted.seed, "joined", user) * 365).astype(np.int64) * DAY
        columns = [
            _padded_ids("user-", user).take(pa.array(owner - start)),
            _padded_ids("item-", item),
            pa.array(np.repeat(joined, end - first) + position * HOUR),
        ]
        yield pa.Table.from_arrays(columns, schema=INTERACTIONS)


def event_offset(planted: SyntheticSpec, user: np.ndarray) -> np.ndarray:
    """Where the events of each user begin; for the number of users, where all end.

    Users share the events evenly; then the second of each pair gives the first up to half of his, or takes as many.
    """
    even = user * planted.events // planted.users
    second = (user % 2 == 1) & (user < planted.users)
    most = planted.events // planted.users // 2
    moved = np.rint((2 * _uniform(planted.seed, "moved", user) - 1) * most).astype(np.int64)
    return np.asarray(even + second * moved)


def followed_concepts(planted: SyntheticSpec, user: np.ndarray) -> np.ndarray:
    """The two concepts of each user, `(users, 2)`; of half of them the two are the same one."""
    first = (_uniform(planted.seed, "first", user) * planted.concepts).astype(np.int64)
    step = (_uniform(planted.seed, "second", user) * max(planted.concepts - 1, 1)).astype(np.int64) + 1
    other = np.where(_uniform(planted.seed, "one", user) < 0.5, first, (first + step) % planted.concepts)
    return np.stack([first, other], 1)


def _items(
    planted: SyntheticSpec, popularity: np.ndarray, owner: np.ndarray, position: np.ndarray, event: np.ndarray
) -> np.ndarray:
    """The item of each event."""
    length = RUN_LENGTH[0] + (_uniform(planted.seed, "run", owner) * (RUN_LENGTH[1] - RUN_LENGTH[0] + 1)).astype(
        np.int64
    )
    concept = followed_concepts(planted, owner)[np.arange(len(owner)), position // length % 2]
    borne = (planted.items - concept - 1) // planted.concepts + 1
    rank = np.minimum(np.searchsorted(popularity, _uniform(planted.seed, "rank", event)), borne - 1)
    return np.where(event % STRAY_EVERY == 0, _walk(planted, event // STRAY_EVERY), concept + rank * planted.concepts)


def _walk(planted: SyntheticSpec, step: np.ndarray) -> np.ndarray:
    """Every item once in as many steps as there are items, neighbours far apart."""
    stride = int(planted.items * 0.618) | 1
    while np.gcd(stride, planted.items) > 1:
        stride += 2
    return step % planted.items * stride % planted.items


def _zipf_cdf(ranks: int) -> np.ndarray:
    """The distribution function of the ranks within a concept, the most popular first."""
    weight = np.arange(1, ranks + 1, dtype=np.float64) ** -EXPONENT
    return np.asarray(np.cumsum(weight) / weight.sum())


def _uniform(seed: int, what: str, number: np.ndarray) -> np.ndarray:
    """One draw from [0, 1) for each number, another for each `what`."""
    name = np.frombuffer(what.encode().ljust(8, b"\0")[:8], dtype="<u8")
    with np.errstate(over="ignore"):
        start = finalise(finalise(name + np.uint64(seed)) + (number.astype(np.uint64) + np.uint64(1)) * GOLDEN)
    return np.asarray((start >> np.uint64(11)) * 2.0**-53)


def _padded_ids(lead: str, number: np.ndarray) -> pa.Array:
    """`item-00000012`."""
    digits = pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), 8, "0")
    return pc.binary_join_element_wise(pa.scalar(lead), digits, pa.scalar(""))
