"""Streaming top-k rows per group, by smallest key.

Rows that can no longer be selected are dropped before sorting, and buffered rows are sorted once there are as many as
selected ones. So a pass costs little more than its comparisons, and memory is bounded by the result. Shape suffixes: G
groups, N rows, K active latents of a case.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsae.schemas.base import item_column

MIN_BUFFERED_ROWS = 2**18
"""Least number of buffered rows that are sorted at a time."""
MAX_KEY = np.uint64(2**64 - 1)


class Rows(NamedTuple):
    """(latent, case) pairs in columns; `latent` is -1 for cases of the pool, `top_idx` is -1 if unknown."""

    latent: np.ndarray
    part: np.ndarray
    case_id: np.ndarray
    user_idx: np.ndarray
    position: np.ndarray
    item_idx: np.ndarray
    top_idx: np.ndarray
    activation: np.ndarray

    def take(self, index: np.ndarray | slice) -> Rows:
        return Rows(*(column[index] for column in self))

    def item(self, view: str) -> np.ndarray:
        """The item of each case in the view: the recommended one or the last input."""
        return np.asarray(getattr(self, item_column(view)))


class KeyedRows(NamedTuple):
    """Rows with their group and uint64 key; for cases of a pool also the latents that fire in them."""

    group: np.ndarray
    key: np.ndarray
    rows: Rows
    active_NK: np.ndarray | None = None


class TopPerGroup:
    """Selects the `count` rows of every group with the smallest key; ties go to the smaller case id.

    With `one_per_user`, only the first row of each user in a group counts. Rows with keys above `limit_G`, if given,
    are dropped.
    """

    def __init__(
        self, groups: int, count: int, *, one_per_user: bool = False, limit_G: np.ndarray | None = None
    ) -> None:
        self._count, self._one_per_user = count, one_per_user
        self._buffer: list[KeyedRows] = []
        self._retained = self._buffered = 0
        self.limit_G = np.full(groups, MAX_KEY) if limit_G is None else limit_G.copy()
        """The largest key that may still be selected in each group."""

    def admissible(self, group: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Indices of the rows that may still be selected."""
        return np.flatnonzero(key <= self.limit_G[group])

    def add(self, offer: KeyedRows) -> None:
        self._buffer.append(offer)
        self._buffered += len(offer.key)
        if self._buffered >= max(MIN_BUFFERED_ROWS, self._retained):
            self._compact()

    def selected(self) -> KeyedRows:
        """The selected rows of everything added so far, sorted by group and key."""
        self._compact()
        (held,) = self._buffer
        return held

    def _compact(self) -> None:
        offers, self._buffer = self._buffer, []
        group, key = (np.concatenate([offer[field] for offer in offers]) for field in (0, 1))
        columns = list(zip(*(offer.rows for offer in offers), strict=True))
        index = self._in_order(group, key, columns)
        index = index[_place(group[index]) < self._count]
        group, key = group[index], key[index]
        count_G = np.bincount(group, minlength=len(self.limit_G))
        last_G = np.cumsum(count_G) - 1
        full_G = count_G == self._count
        self.limit_G[full_G] = key[last_G[full_G]]
        # One column at a time, so that only one is in memory twice.
        rows = Rows(*(np.concatenate(column)[index] for column in columns))
        active = [offer.active_NK for offer in offers if offer.active_NK is not None]
        self._buffer = [KeyedRows(group, key, rows, _stack(active)[index] if active else None)]
        self._retained, self._buffered = len(index), 0

    def _in_order(self, group: np.ndarray, key: np.ndarray, columns: list[tuple[np.ndarray, ...]]) -> np.ndarray:
        """Indices of the rows sorted by group, key and case id; with `one_per_user`, only the first of each user."""
        case_id, user_idx = (np.concatenate(columns[Rows._fields.index(name)]) for name in ("case_id", "user_idx"))
        # numpy sorts 64-bit integers with SIMD and 16-bit ones by radix, ten times as fast as lexsort, which only sorts
        # the ties.
        order = np.argsort(key)
        small = group[order].astype(np.min_scalar_type(len(self.limit_G)))
        order = order[np.argsort(small, kind="stable")]
        same = (np.diff(group[order]) == 0) & (np.diff(key[order]) == 0)
        tied = np.flatnonzero(np.append(same, False) | np.append(False, same)) if len(order) else order
        rows = order[tied]
        order[tied] = rows[np.lexsort((case_id[rows], key[rows], group[rows]))]
        if not self._one_per_user:
            return np.asarray(order)
        pair = group[order].astype(np.int64) << 32 | user_idx[order]
        _, first = np.unique(pair, return_index=True)
        return np.asarray(order[np.sort(first)])


def _place(group: np.ndarray) -> np.ndarray:
    """The position of each row within its group, from 0; rows of a group must be adjacent."""
    if not len(group):
        return np.empty(0, dtype=np.int64)
    starts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    return np.asarray(np.arange(len(group)) - np.repeat(starts, np.diff([*starts, len(group)])))


def _stack(active: list[np.ndarray]) -> np.ndarray:
    """Concatenate blocks of different K, padded with -1."""
    most = max(one.shape[1] for one in active)
    return np.concatenate([np.pad(one, ((0, 0), (0, most - one.shape[1])), constant_values=-1) for one in active])


def first_per_group(groups: tuple[np.ndarray, ...], order: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    """Indices of the first `count` rows of every group by `order` (most significant key first), grouped and sorted."""
    index: np.ndarray = np.lexsort((*reversed(order), *reversed(groups)))
    if not len(index):
        return index
    changes = np.zeros(len(index), dtype=bool)
    for group in groups:
        changes[1:] |= np.diff(group[index]) != 0
    return np.asarray(index[_place(np.cumsum(changes)) < count])
