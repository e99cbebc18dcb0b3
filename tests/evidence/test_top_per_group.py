"""The first rows of every group, against sorted lists."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.evidence import top_per_group
from recsae.evidence.top_per_group import MAX_KEY, KeyedRows, Rows, TopPerGroup, first_per_group

GROUPS, COUNT = 5, 3


def offers(draw: np.random.Generator, rows: int) -> KeyedRows:
    """Few keys and users, so that there are ties of both."""
    case_id = draw.permutation(10_000)[:rows]
    columns = {name: np.zeros(rows, dtype=np.int32) for name in Rows._fields}
    held = Rows(**{**columns, "case_id": case_id, "user_idx": draw.integers(0, 9, rows).astype(np.int32)})
    key = draw.choice(np.array([0, 1, 2, 2**40, 2**64 - 2], dtype=np.uint64), rows)
    active_NK = case_id[:, None] + np.arange(int(draw.integers(1, 4)))
    return KeyedRows(draw.integers(0, GROUPS - 1, rows).astype(np.int32), key, held, active_NK)


def by_lists(found: list[KeyedRows], one_per_user: bool) -> list[tuple[int, int, int]]:
    rows = [
        (int(group), int(key), int(case), int(user))
        for offer in found
        for group, key, case, user in zip(offer.group, offer.key, offer.rows.case_id, offer.rows.user_idx, strict=True)
    ]
    expected = []
    for group in range(GROUPS):
        seen: set[int] = set()
        here = []
        for row in sorted(row for row in rows if row[0] == group):
            if not (one_per_user and row[3] in seen):
                here.append(row[:3])
            seen.add(row[3])
        expected += here[:COUNT]
    return expected


@pytest.mark.parametrize("one_per_user", [False, True])
@pytest.mark.parametrize("at_least", [1, 30, 10_000])
@pytest.mark.parametrize("seed", range(5))
def test_the_first_of_any_number_of_offers(
    monkeypatch: pytest.MonkeyPatch, seed: int, at_least: int, one_per_user: bool
) -> None:
    monkeypatch.setattr(top_per_group, "MIN_BUFFERED_ROWS", at_least)
    draw = np.random.default_rng(seed)
    found = [offers(draw, int(draw.integers(1, 60))) for _ in range(12)]
    first = TopPerGroup(GROUPS, COUNT, one_per_user=one_per_user)
    for offer in found:
        index = first.admissible(offer.group, offer.key)
        assert offer.active_NK is not None
        rows = offer.rows.take(index)
        first.add(KeyedRows(offer.group[index], offer.key[index], rows, offer.active_NK[index]))
    kept = first.selected()
    expected = by_lists(found, one_per_user)
    assert list(zip(kept.group.tolist(), kept.key.tolist(), kept.rows.case_id.tolist(), strict=True)) == expected
    assert kept.active_NK is not None  # the active latents stay with their row
    assert (kept.active_NK[:, 0] == kept.rows.case_id).all()
    assert len(first.limit_G) == GROUPS and first.limit_G[GROUPS - 1] == MAX_KEY  # the last group has no rows
    for group in range(GROUPS - 1):
        assert first.limit_G[group] == max(key for of, key, _ in expected if of == group)


def test_a_bar_from_elsewhere_is_kept_and_only_lowered() -> None:
    limit_G = np.full(GROUPS, 2, dtype=np.uint64)
    first = TopPerGroup(GROUPS, COUNT, limit_G=limit_G)
    offer = offers(np.random.default_rng(0), 50)
    index = first.admissible(offer.group, offer.key)
    assert 0 < len(index) < 50 and (offer.key[index] <= 2).all()
    first.add(KeyedRows(offer.group[index], offer.key[index], offer.rows.take(index)))
    first.selected()
    assert (first.limit_G <= 2).all() and (limit_G == 2).all()


def test_the_first_of_every_group() -> None:
    group, order = np.array([2, 1, 2, 1, 2]), np.array([5, 4, 3, 2, 1])
    assert first_per_group((group,), (order,), 2).tolist() == [3, 1, 4, 2]
    assert first_per_group((group[:0],), (order[:0],), 2).tolist() == []
