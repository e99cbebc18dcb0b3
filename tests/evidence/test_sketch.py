"""Sketches of blocks merge to the sketch of the whole, which equals plain loops; limits change nothing."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsae.evidence import top_per_group
from recsae.evidence.sketch import Sketch, SketchBuilder, blocks, priority, sketch_table
from recsae.evidence.top_per_group import MAX_KEY, Rows
from tests.concepts.streams import LATENTS, SMALL, Case, Stream, splitmix, stream

SEED = 7
STREAM = stream()


def rows_of(rows: Rows) -> list[tuple[float, ...]]:
    return list(zip(*(column.tolist() for column in rows), strict=True))


def same(first: Sketch, second: Sketch) -> None:
    assert first.explain_cases == second.explain_cases
    for one, other in zip(first, second, strict=True):
        if isinstance(one, Rows):
            assert isinstance(other, Rows) and rows_of(one) == rows_of(other)
            assert [column.dtype for column in one] == [column.dtype for column in other]
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)


def whole(of: Stream = STREAM, seed: int = SEED) -> Sketch:
    return sketch_table(of.table, of.sae, SMALL, seed)


def pair(case: Case, latent: int) -> tuple[float, ...]:
    named = (latent, case.part, case.case_id, case.user_idx, case.position, case.item_idx, case.top_idx)
    return (*named, case.active.get(latent, 0.0))


def test_counts_and_maxima_are_of_explain_users() -> None:
    sketch = whole()
    explain = [case for case in STREAM.cases if case.part == 0]
    assert sketch.explain_cases == len(explain) < len(STREAM.cases)
    for latent in range(LATENTS):
        fired = [case.active[latent] for case in explain if latent in case.active]
        assert sketch.fired_H[latent] == len(fired)
        assert sketch.maximum_H[latent] == max(fired, default=0)
    assert sketch.fired_H[-1] == 0 and np.count_nonzero(sketch.fired_H) > 5


def test_the_strongest_are_one_a_user_and_ties_go_to_the_smaller_case() -> None:
    expected = []
    for latent in range(LATENTS):
        for part in range(3):
            best: dict[int, Case] = {}
            for case in STREAM.cases:
                if case.part == part and latent in case.active:
                    held = best.get(case.user_idx)
                    key = (-case.active[latent], case.case_id)
                    if held is None or key < (-held.active[latent], held.case_id):
                        best[case.user_idx] = case
            ranked = sorted(best.values(), key=lambda case: (-case.active[latent], case.case_id))
            expected += [pair(case, latent) for case in ranked[: SMALL.top]]
    assert rows_of(whole().top) == expected
    assert len({(row[0], row[1], row[-1]) for row in expected}) < len(expected)  # there are ties


def test_samples_are_the_cases_with_the_smallest_hash() -> None:
    expected = []
    for latent in range(LATENTS):
        for part in range(3):
            fired = [case for case in STREAM.cases if case.part == part and latent in case.active]
            fired.sort(key=lambda case: splitmix(case.case_id, latent, SEED))
            expected += [pair(case, latent) for case in fired[: SMALL.sample]]
    assert rows_of(whole().sample) == expected


def test_the_pool_is_drawn_by_hash_and_says_who_fires() -> None:
    sketch = whole()
    expected = []
    for part in range(3):
        cases = sorted(
            (case for case in STREAM.cases if case.part == part), key=lambda case: splitmix(case.case_id, -1, SEED)
        )
        expected += cases[: SMALL.pool]
    assert sketch.pool.case_id.tolist() == [case.case_id for case in expected]
    assert [set(row) - {-1} for row in sketch.active_PK.tolist()] == [set(case.active) for case in expected]


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_hash_is_that_of_whole_numbers(seed: int) -> None:
    case_id = np.array([0, 1, 2**62 + 3, 2**63 - 1])
    latent = np.array([0, 1, 5, 1000], dtype=np.int32)
    expected = [splitmix(case, number, seed) for case, number in zip(case_id.tolist(), latent.tolist(), strict=True)]
    assert priority(case_id, latent, seed).tolist() == expected
    assert priority(case_id, -1, seed).tolist() == [splitmix(case, -1, seed) for case in case_id.tolist()]


def joined(*sketches: Sketch) -> Sketch:
    sketcher = SketchBuilder(LATENTS, SMALL, SEED)
    for sketch in sketches:
        sketcher.add(sketch)
    return sketcher.sketch()


def random_parts(of: Stream, draw: np.random.Generator, count: int) -> list[Stream]:
    """The stream cut at random, each piece in random order."""
    part_of, order = draw.integers(0, count, of.table.num_rows), draw.permutation(of.table.num_rows)
    return [Stream(of.table.take(order[part_of[order] == part]), [], of.sae) for part in np.unique(part_of)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([1, 7, 100, 10**6]))
def test_any_blocks_in_any_order_make_the_same_sketch(seed: int, count: int, rows_at_least: int) -> None:
    draw = np.random.default_rng(seed)
    with patch.object(top_per_group, "MIN_BUFFERED_ROWS", rows_at_least):
        parts = [whole(part) for part in random_parts(STREAM, draw, count)]
        while len(parts) > 1:
            first, second = draw.choice(len(parts), 2, replace=False)
            both = joined(parts[first], parts[second])
            parts = [part for place, part in enumerate(parts) if place not in (first, second)] + [both]
    same(parts[0], whole())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 9), st.sampled_from([1, 7, 100]))
def test_what_the_bars_of_the_whole_refuse_is_not_missed(seed: int, count: int, rows_at_least: int) -> None:
    draw = np.random.default_rng(seed)
    total, sent = SketchBuilder(LATENTS, SMALL, SEED), 0
    with patch.object(top_per_group, "MIN_BUFFERED_ROWS", rows_at_least):
        for part in random_parts(STREAM, draw, count):
            sketcher = SketchBuilder(LATENTS, SMALL, SEED, total.limits())
            for block in blocks(part.table, part.sae):
                sketcher.add_block(block)
            sent += len(sketcher.sketch().sample.latent)
            total.add(sketcher.sketch())
    same(total.sketch(), whole())
    assert all((limit_G < MAX_KEY).any() for limit_G in total.limits())
    assert sent <= sum(len(case.active) for case in STREAM.cases)


def test_bars_spare_the_rows_that_a_large_whole_would_refuse() -> None:
    of = stream(users=400)
    total = SketchBuilder(LATENTS, SMALL, SEED)
    total.add(whole(of))
    total.sketch()
    told = SketchBuilder(LATENTS, SMALL, SEED, total.limits())
    for block in blocks(STREAM.table, of.sae):
        told.add_block(block)
    sketch = told.sketch()
    assert len(sketch.sample.latent) < 0.4 * len(whole().sample.latent)
    assert len(sketch.top.latent) < 0.5 * len(whole().top.latent)
    assert len(sketch.pool.latent) < 0.5 * len(whole().pool.latent)
    assert sketch.fired_H.tolist() == whole().fired_H.tolist()  # counts are of all cases


def test_the_number_of_cases_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole()
    monkeypatch.setattr("recsae.evidence.sketch.MAX_FLOATS_PER_BLOCK", 40 * LATENTS)
    assert sum(1 for _ in blocks(STREAM.table, STREAM.sae)) == -(-len(STREAM.cases) // 40)
    same(whole(), expected)


def test_blocks_whose_most_active_case_differs_make_the_same_sketch() -> None:
    """If a kind has no k, the width of a block's code is that of its own cases."""
    of = stream(kind="relu")
    widths = {whole(of).active_PK.shape[1]}
    parts = [sketch_table(of.table.slice(start, 20), of.sae, SMALL, SEED) for start in range(0, len(of.cases), 20)]
    widths |= {part.active_PK.shape[1] for part in parts}
    assert len(widths) > 1
    both = joined(*parts)
    same(both._replace(active_PK=whole(of).active_PK), whole(of))
    fires, expected = ([set(row) - {-1} for row in sketch.active_PK.tolist()] for sketch in (both, whole(of)))
    assert fires == expected


def test_every_active_latent_of_a_kind_without_a_k_is_met() -> None:
    sketch = whole(of := stream(kind="relu"))
    explain = [case for case in of.cases if case.part == 0]
    assert max(len(case.active) for case in explain) > 3 > min(len(case.active) for case in explain)
    for latent in range(LATENTS):
        assert sketch.fired_H[latent] == sum(latent in case.active for case in explain)


def test_another_seed_draws_others() -> None:
    assert whole(seed=1).pool.case_id.tolist() != whole(seed=2).pool.case_id.tolist()
    assert rows_of(whole(seed=1).top) == rows_of(whole(seed=2).top)


def test_one_case_is_a_stream() -> None:
    one = stream(users=1)
    sketch = sketch_table(one.table.slice(0, 1), one.sae, SMALL, SEED)
    assert len(sketch.pool.case_id) == 1
    assert sorted(sketch.top.latent.tolist()) == sorted(one.cases[0].active)


def test_a_stream_where_nothing_fires_has_a_pool_and_no_top() -> None:
    silent = stream()
    with torch.no_grad():
        silent.sae.b_enc.fill_(-1000)
    sketch = whole(silent)
    assert not sketch.fired_H.any() and not len(sketch.top.latent) and not len(sketch.sample.latent)
    assert (sketch.active_PK == -1).all() and len(sketch.pool.latent) > SMALL.pool
