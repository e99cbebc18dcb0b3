"""The evidence of each latent as arrays, for labels and scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsae.evidence.sketch import runs
from recsae.schemas.base import ACTIVE_ROLES, SILENT_ROLES, item_column
from recsae.store.run_store import Committed


class JudgedCases(NamedTuple):
    """Cases as judges see them: the item that the view selects, and the user."""

    item: np.ndarray
    user: np.ndarray

    @staticmethod
    def empty() -> JudgedCases:
        return JudgedCases(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class LatentCases(NamedTuple):
    """All evidence of one latent, sorted by part, role and rank as in the table."""

    part: np.ndarray
    role: np.ndarray
    item: np.ndarray
    user: np.ndarray

    def of_role(self, part: str, role: str) -> JudgedCases:
        here = (self.part == part) & (self.role == role)
        return JudgedCases(self.item[here], self.user[here])

    def active(self, part: str, count: int) -> JudgedCases:
        """Up to `count` active cases, half of them the strongest, half spread over the levels."""
        return _alternate([self.of_role(part, role) for role in ACTIVE_ROLES], count)

    def non_activating(self, part: str, count: int) -> JudgedCases:
        """Up to `count` non-activating cases, half random, half matched on popularity."""
        return _alternate([self.of_role(part, role) for role in SILENT_ROLES], count)

    def items(self, part: str) -> np.ndarray:
        """Items of all active cases of a part."""
        here = (self.part == part) & np.isin(self.role, ACTIVE_ROLES)
        return np.asarray(self.item[here])


def _alternate(pair: list[JudgedCases], count: int) -> JudgedCases:
    """`count` cases taken alternately from the two groups; if one has too few, the other fills up."""
    first, second = pair
    from_second = min(len(second.item), max(count // 2, count - len(first.item)))
    from_first = min(len(first.item), count - from_second)
    turn = np.argsort([*range(0, 2 * from_first, 2), *range(1, 2 * from_second, 2)], kind="stable")
    return JudgedCases(
        np.concatenate([first.item[:from_first], second.item[:from_second]])[turn],
        np.concatenate([first.user[:from_first], second.user[:from_second]])[turn],
    )


def read_cases(evidence: Committed, view: str) -> dict[int, LatentCases]:
    """The evidence by latent; a case's item is the recommended one or the last input, depending on the view."""
    item = item_column(view)
    table = evidence.read_table("evidence.parquet", ["latent", "part", "role", "user_idx", item])
    columns = [table[name].to_numpy(zero_copy_only=False) for name in ("latent", "part", "role", item, "user_idx")]
    return {latent: LatentCases(*(column[span] for column in columns[1:])) for latent, span in runs(columns[0])}
