"""Samples of latents that grow without changing."""

from __future__ import annotations

import numpy as np

from recsae.stats.sampling import draw


def test_a_larger_sample_contains_the_smaller() -> None:
    for seed in range(5):
        seen: set[int] = set()
        for count in (1, 5, 20, 99, 100, 1000):
            found = draw(range(100), count, seed)
            assert found == sorted(set(found)) and len(found) == min(count, 100) and seen <= set(found)
            seen = set(found)
        assert draw(range(100), None, seed) == list(range(100))
    assert draw([], 5, 0) == []


def test_a_dead_latent_moves_no_other() -> None:
    found = draw(range(1000), 50, 3)
    without = draw([latent for latent in range(1000) if latent != found[7]], 50, 3)
    assert set(found) - {found[7]} <= set(without) and len(without) == 50
    assert draw(reversed(range(1000)), 50, 3) == found


def test_the_seed_decides_and_latents_are_drawn_evenly() -> None:
    drawn = [draw(range(64), 16, seed) for seed in range(2000)]
    assert len({tuple(found) for found in drawn}) == 2000
    counts = np.bincount(np.concatenate(drawn), minlength=64)
    assert abs(counts - 500).max() < 100  # five deviations of a binomial


def test_numbers_can_be_drawn_by_others() -> None:
    """What is drawn follows the number that is hashed, whatever it is called now."""
    now = {latent: (latent + 30) % 100 for latent in range(100)}
    found = draw(range(100), 10, 0, now)
    assert sorted(now[latent] for latent in found) == draw(range(100), 10, 0)
