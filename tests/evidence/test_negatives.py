"""Nearest latents, and the selection of the largest values, against plain sorting."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.evidence import negatives
from recsae.evidence.negatives import _closest, _largest, nearest


@pytest.mark.parametrize("floats", [1, 200, 10**6])
@pytest.mark.parametrize(("latents", "count"), [(40, 5), (40, 100), (6, 5), (2, 3)])
def test_the_nearest_latents_are_those_with_the_largest_cosine(
    monkeypatch: pytest.MonkeyPatch, latents: int, count: int, floats: int
) -> None:
    monkeypatch.setattr(negatives, "MAX_FLOATS_PER_BLOCK", floats)
    draw = np.random.default_rng(latents)
    W_dec = (draw.standard_normal((latents, 7)) * draw.lognormal(0, 1, (latents, 1))).astype(np.float32)
    alive = np.sort(draw.choice(latents, latents - latents // 4, replace=False))
    found = nearest(W_dec, alive, count)
    assert found.shape == (latents, count)
    for latent in range(latents):
        if latent not in alive:
            assert (found[latent] == -1).all()
            continue
        cosine = W_dec @ W_dec[latent] / np.linalg.norm(W_dec, axis=1) / np.linalg.norm(W_dec[latent])
        others = [other for other in alive.tolist() if other != latent and cosine[other] > 0]
        expected = sorted(others, key=lambda other: -cosine[other])[:count]
        assert found[latent].tolist() == expected + [-1] * (count - len(expected))


def test_latents_alone_have_no_neighbour() -> None:
    W_dec = np.eye(3, dtype=np.float32)
    assert (nearest(W_dec, np.array([1])) == -1).all()
    assert (nearest(W_dec, np.array([], dtype=np.int64)) == -1).all()
    assert (nearest(np.zeros((3, 4), dtype=np.float32), np.arange(3)) == -1).all()


@pytest.mark.parametrize("count", [0, 1, 3, 10, 50])
def test_the_largest_in_their_order_of_equal_ones_the_first(count: int) -> None:
    values = np.random.default_rng(count).integers(0, 4, 30)
    expected = sorted(range(30), key=lambda place: (-values[place], place))[:count]
    assert _largest(values, count).tolist() == expected
    assert _largest(values[:0], count).tolist() == []


def test_each_wanted_value_takes_the_closest_offer_that_is_left() -> None:
    wanted, offered = np.array([1.0, 5.0]), np.array([5.1, 1.1, 0.5, 9.0])
    assert _closest(wanted, offered, 3).tolist() == [1, 0, 2]
    assert _closest(wanted, offered, 9).tolist() == [1, 0, 2, 3]
    assert _closest(wanted, offered, 1).tolist() == [1]
    assert _closest(wanted[:0], offered, 3).tolist() == []
