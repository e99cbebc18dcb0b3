"""Numbers of concepts against what they are by definition, and against drawing."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.stats.diversity import effective, rarefied


def test_equally_common_concepts_count_as_many_as_they_are() -> None:
    assert effective([3, 3, 3, 3]) == pytest.approx(4)
    assert effective([7]) == pytest.approx(1)
    assert effective([]) is None


def test_a_common_concept_beside_rare_ones_counts_for_little_more_than_itself() -> None:
    found = effective([97, 1, 1, 1])
    assert found is not None and 1 < found < 1.3


def test_rarefied_is_the_mean_over_draws() -> None:
    counts, sample = [8, 3, 2, 1, 1], 6
    owner = np.repeat(np.arange(len(counts)), counts)
    draw = np.random.default_rng(0)
    seen = [len(set(draw.choice(owner, sample, replace=False))) for _ in range(20_000)]
    assert rarefied(counts, sample) == pytest.approx(np.mean(seen), abs=0.03)


def test_of_all_latents_every_concept_is_seen_and_of_two_alike_one() -> None:
    assert rarefied([4, 2, 1], 7) == pytest.approx(3)
    assert rarefied([5], 2) == pytest.approx(1)


@pytest.mark.parametrize("sample", [0, 1, 8])
def test_too_few_say_nothing(sample: int) -> None:
    assert rarefied([4, 2, 1], sample) is None
