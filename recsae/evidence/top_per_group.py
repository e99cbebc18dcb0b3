"""Of rows that come in any number and order, the first of every group by a key.

What can no longer be among them is refused before anything is sorted, and sorting waits until as many rows have come as
are held; so a pass costs little more than its comparisons, in memory bounded by what is kept. It knows rows of latents
and cases, groups and keys, and not what a key means. Shape suffixes: G groups, N rows, K active latents of a case.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROWS_AT_LEAST = 2**18
"""Rows that wait to be sorted where few are held."""
LAST = np.uint64(2**64 - 1)


class Rows(NamedTuple):
    """(latent, case) pairs in columns; `latent` is -1 for cases of the pool, `top_idx` where it is not known."""

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

    def shown(self, view: str) -> np.ndarray:
        """The item of each case that the view shows."""
        return self.top_idx if view == "recommended" else self.item_idx


class Offer(NamedTuple):
    """Rows with their group and key, uint64; of cases of a pool also the latents that fire in them."""

    group: np.ndarray
    key: np.ndarray
    rows: Rows
    active_NK: np.ndarray | None = None


class First:
    """Of every group the `count` rows with the smallest key; ties go to the smaller case id.

    `one_a_user`: of a user's rows in a group only the first counts. `bar_G`: keys beyond which nothing is wanted, if
    that is known.
    """

    def __init__(self, groups: int, count: int, *, one_a_user: bool = False, bar_G: np.ndarray | None = None) -> None:
        self._count, self._one_a_user = count, one_a_user
        self._offers: list[Offer] = []
        self._held = self._waiting = 0
        self.bar_G = np.full(groups, LAST) if bar_G is None else bar_G.copy()
        """The largest key that may still be among the first."""

    def admitted(self, group: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Indices of the rows that are worth an offer."""
        return np.flatnonzero(key <= self.bar_G[group])

    def add(self, offer: Offer) -> None:
        self._offers.append(offer)
        self._waiting += len(offer.key)
        if self._waiting >= max(ROWS_AT_LEAST, self._held):
            self._settle()

    def kept(self) -> Offer:
        """What stays of all that was added, by group and key."""
        self._settle()
        (held,) = self._offers
        return held

    def _settle(self) -> None:
        offers, self._offers = self._offers, []
        group, key = (np.concatenate([offer[field] for offer in offers]) for field in (0, 1))
        columns = list(zip(*(offer.rows for offer in offers), strict=True))
        index = self._in_order(group, key, columns)
        index = index[_place(group[index]) < self._count]
        group, key = group[index], key[index]
        kept_G = np.bincount(group, minlength=len(self.bar_G))
        last_G = np.cumsum(kept_G) - 1
        full_G = kept_G == self._count
        self.bar_G[full_G] = key[last_G[full_G]]
        # Column by column: not all of them are there twice.
        rows = Rows(*(np.concatenate(column)[index] for column in columns))
        active = [offer.active_NK for offer in offers if offer.active_NK is not None]
        self._offers = [Offer(group, key, rows, _stack(active)[index] if active else None)]
        self._held, self._waiting = len(index), 0

    def _in_order(self, group: np.ndarray, key: np.ndarray, columns: list[tuple[np.ndarray, ...]]) -> np.ndarray:
        """By group, key and case id; without a user's other rows, where one counts."""
        case_id, user_idx = (np.concatenate(columns[Rows._fields.index(name)]) for name in ("case_id", "user_idx"))
        # Whole numbers of 64 bits are sorted in vectors and those of 16 by digits: ten times as quick as lexsort, which
        # is left the ties.
        order = np.argsort(key)
        small = group[order].astype(np.min_scalar_type(len(self.bar_G)))
        order = order[np.argsort(small, kind="stable")]
        same = (np.diff(group[order]) == 0) & (np.diff(key[order]) == 0)
        tied = np.flatnonzero(np.append(same, False) | np.append(False, same)) if len(order) else order
        rows = order[tied]
        order[tied] = rows[np.lexsort((case_id[rows], key[rows], group[rows]))]
        if not self._one_a_user:
            return np.asarray(order)
        pair = group[order].astype(np.int64) << 32 | user_idx[order]
        _, first = np.unique(pair, return_index=True)
        return np.asarray(order[np.sort(first)])


def _place(group: np.ndarray) -> np.ndarray:
    """The place of each row within its group, from 0; rows of a group follow each other."""
    if not len(group):
        return np.empty(0, dtype=np.int64)
    starts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    return np.asarray(np.arange(len(group)) - np.repeat(starts, np.diff([*starts, len(group)])))


def _stack(active: list[np.ndarray]) -> np.ndarray:
    """One below the other; K is as many latents as fire in any case of a block, which may differ."""
    most = max(one.shape[1] for one in active)
    return np.concatenate([np.pad(one, ((0, 0), (0, most - one.shape[1])), constant_values=-1) for one in active])


def first_per_group(groups: tuple[np.ndarray, ...], order: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    """Indices of the first `count` rows of every group, by `order` (most significant first); grouped and sorted."""
    index: np.ndarray = np.lexsort((*reversed(order), *reversed(groups)))
    if not len(index):
        return index
    changes = np.zeros(len(index), dtype=bool)
    for group in groups:
        changes[1:] |= np.diff(group[index]) != 0
    return np.asarray(index[_place(np.cumsum(changes)) < count])
