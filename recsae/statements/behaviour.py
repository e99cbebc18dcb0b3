"""Features of a case that no item alone has: how long, how popular, how varied the history is, and when it happened.

Shape suffixes: B cases, L the last ten events and T the last two, latest first, I items, A axes, V attribute values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.data.catalogue import Catalogue
from recsae.statements.clock import Clock

LENGTH, POPULARITY, REPEATS = "history length", "popularity of the last ten", "repeats in the last ten"
DIVERSITY = "diversity of the last ten"
SAME_ITEM = "same item as the event before"
DAYS, GAP = "days before the last event", "gap before the last event"
"""The time between the last two events: in days, or in the unit of the timestamps where that is not known."""
HOUR, WEEKDAY = "hour of the last event", "weekday of the last event"
"""UTC; 0 is Monday."""
MAX_ATTRIBUTES = 4
"""Attributes whose value is compared with the event before: those that most items have."""
MOST_VALUES = 0.5
"""An attribute with more different values than this share of the items that have it tells items, not groups."""
CASES_AT_ONCE = 8_192


class About(NamedTuple):
    """What the features read about items and times; the same for all cases."""

    popularity_I: np.ndarray
    """float64 quantile of training events, 0 to 1."""
    vectors_IA: np.ndarray
    """float32 unit vectors, zeros where an item has none."""
    attributes: Mapping[str, sparse.csr_matrix]
    """Which items have which value, `(I, V)` of 0 and 1, by attribute."""
    clock: Clock | None


def same_attribute(attribute: str) -> str:
    """The name of the feature that compares an attribute with the event before."""
    return f"same {attribute} as the event before"


def attributes_of(catalogue: Catalogue) -> dict[str, sparse.csr_matrix]:
    """The values of the attributes that are compared, by name."""
    found: dict[str, tuple[list[int], list[int], dict[str, int]]] = {}
    for item, of_item in enumerate(catalogue.attributes):
        for name, values in of_item.items():
            rows, columns, index = found.setdefault(name, ([], [], {}))
            rows += [item] * len(values)
            columns += [index.setdefault(value, len(index)) for value in values]
    having = {name: len(set(rows)) for name, (rows, _, _) in found.items()}
    kept = [name for name, (_, _, index) in found.items() if 1 < len(index) <= MOST_VALUES * having[name]]
    matrices = {}
    for name in sorted(kept, key=lambda name: (-having[name], name))[:MAX_ATTRIBUTES]:
        rows, columns, index = found[name]
        ones = np.ones(len(rows), dtype=np.int32)
        matrices[name] = sparse.csr_matrix((ones, (rows, columns)), shape=(catalogue.n_items, len(index)))
    return matrices


def features(
    history_BL: np.ndarray, position_B: np.ndarray, about: About, time_BT: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The features of each case, `(B,)` float64 by name; NaN where a case has none.

    `position_B` is the number of events before the case, `time_BT` the timestamps of the last two.
    """
    known_BL = history_BL >= 0
    length_B = known_BL.sum(axis=1)
    found = {
        LENGTH: position_B.astype(np.float64),
        POPULARITY: _popularity(history_BL, about.popularity_I),
        REPEATS: np.where(length_B > 0, _repeats(history_BL) / np.maximum(length_B, 1), np.nan),
        DIVERSITY: _diversity(history_BL, about.vectors_IA),
        SAME_ITEM: np.where(length_B > 1, history_BL[:, 0] == history_BL[:, 1], np.nan),
    }
    for name, has_IV in about.attributes.items():
        found[same_attribute(name)] = _shares_a_value(history_BL, has_IV)
    if about.clock and time_BT is not None:
        found |= _times(time_BT, length_B, about.clock)
    return found


def _popularity(history_BL: np.ndarray, popularity_I: np.ndarray) -> np.ndarray:
    known_BL = history_BL >= 0
    length_B = known_BL.sum(axis=1)
    total_B = np.where(known_BL, popularity_I[history_BL.clip(min=0)], 0.0).sum(axis=1)
    return np.where(length_B > 0, total_B / np.maximum(length_B, 1), np.nan)


def _repeats(history_BL: np.ndarray) -> np.ndarray:
    """Events whose item occurs in a later one of the last ten."""
    ordered_BL = np.sort(history_BL, axis=1)
    return np.asarray(((ordered_BL[:, 1:] == ordered_BL[:, :-1]) & (ordered_BL[:, 1:] >= 0)).sum(axis=1))


def _diversity(history_BL: np.ndarray, vectors_IA: np.ndarray) -> np.ndarray:
    """One minus the mean cosine of two events; events whose item has no vector do not count."""
    has_I = np.any(vectors_IA != 0, axis=1)
    found_B = np.full(len(history_BL), np.nan)
    for start in range(0, len(history_BL), CASES_AT_ONCE):
        block_BL = history_BL[start : start + CASES_AT_ONCE]
        known_BL = (block_BL >= 0) & has_I[block_BL.clip(min=0)]
        total_BA = np.einsum("bl,bla->ba", known_BL.astype(np.float32), vectors_IA[block_BL.clip(min=0)])
        events_B = known_BL.sum(axis=1)
        pairs_B = np.maximum(events_B * (events_B - 1), 1)
        cosine_B = ((total_BA.astype(np.float64) ** 2).sum(axis=1) - events_B) / pairs_B
        found_B[start : start + CASES_AT_ONCE] = np.where(events_B > 1, np.round(1 - cosine_B, 6), np.nan)
    return found_B


def _shares_a_value(history_BL: np.ndarray, has_IV: sparse.csr_matrix) -> np.ndarray:
    """1 where the last two events share a value of the attribute, 0 where not; NaN where one of them has none."""
    last_B, before_B = history_BL[:, 0].clip(min=0), history_BL[:, 1].clip(min=0)
    count_I = np.diff(has_IV.indptr)
    known_B = (history_BL[:, 1] >= 0) & (count_I[last_B] > 0) & (count_I[before_B] > 0)
    shared_B = np.asarray(has_IV[last_B].multiply(has_IV[before_B]).sum(axis=1)).ravel() > 0
    return np.where(known_B, shared_B, np.nan)


def _times(time_BT: np.ndarray, length_B: np.ndarray, clock: Clock) -> dict[str, np.ndarray]:
    gap_B = np.where(length_B > 1, time_BT[:, 0] - time_BT[:, 1], np.nan)
    if clock.per_day is None:
        return {GAP: gap_B}
    day_B, rest_B = np.divmod(time_BT[:, 0], clock.per_day)
    return {
        DAYS: gap_B / clock.per_day,
        HOUR: np.where(length_B > 0, rest_B * 24 // clock.per_day, np.nan),
        WEEKDAY: np.where(length_B > 0, (day_B + 3) % 7, np.nan),
    }
