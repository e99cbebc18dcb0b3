"""The evidence of one latent as arrays, for labelling and judging. It knows the evidence table and the view."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsae.evidence.sketch import runs
from recsae.schemas.base import ACTIVE_ROLES, SILENT_ROLES
from recsae.store.run_store import Committed


class Judged(NamedTuple):
    """Cases put before a judge: the item that the view shows, and whose case it is."""

    item: np.ndarray
    user: np.ndarray

    @staticmethod
    def nobody() -> Judged:
        return Judged(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class LatentCases(NamedTuple):
    """All evidence of one latent, in the order of the table: part, role, rank."""

    part: np.ndarray
    role: np.ndarray
    item: np.ndarray
    user: np.ndarray

    def of_role(self, part: str, role: str) -> Judged:
        here = (self.part == part) & (self.role == role)
        return Judged(self.item[here], self.user[here])

    def active(self, part: str, count: int) -> Judged:
        """Up to `count` active cases, half of them the strongest, half across the range."""
        return _halves([self.of_role(part, role) for role in ACTIVE_ROLES], count)

    def silent(self, part: str, count: int) -> Judged:
        """Up to `count` silent cases, half random, half matched on popularity."""
        return _halves([self.of_role(part, role) for role in SILENT_ROLES], count)

    def items(self, part: str) -> np.ndarray:
        """Items of all active cases of a part."""
        here = (self.part == part) & np.isin(self.role, ACTIVE_ROLES)
        return np.asarray(self.item[here])


def _halves(pair: list[Judged], count: int) -> Judged:
    """`count` cases, half of each of the two where both have enough; taken in turn."""
    first, second = pair
    from_second = min(len(second.item), max(count // 2, count - len(first.item)))
    from_first = min(len(first.item), count - from_second)
    turn = np.argsort([*range(0, 2 * from_first, 2), *range(1, 2 * from_second, 2)], kind="stable")
    return Judged(
        np.concatenate([first.item[:from_first], second.item[:from_second]])[turn],
        np.concatenate([first.user[:from_first], second.user[:from_second]])[turn],
    )


def read_cases(evidence: Committed, view: str) -> dict[int, LatentCases]:
    """Every latent's evidence; a case's item is the recommended one or the last input, as the view says."""
    item = "top_idx" if view == "recommended" else "item_idx"
    table = evidence.read_table("evidence.parquet", ["latent", "part", "role", "user_idx", item])
    columns = [table[name].to_numpy(zero_copy_only=False) for name in ("latent", "part", "role", item, "user_idx")]
    return {latent: LatentCases(*(column[span] for column in columns[1:])) for latent, span in runs(columns[0])}
