"""Sums of shards against numpy on the whole."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.errors import BadInput
from recsae.sae.fidelity import Moments, _fold, _mean_and_scale, _moments, _ranking, _variance
from recsae.store.folder import Folder
from recsae.store.runs import Committed


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(200, 5)).astype(np.float32)
    total = _fold([_moments(piece) for piece in (x[:30], x[30:30], x[30:31], x[31:])])
    exact = x.astype(np.float64)
    assert total.rows == 200
    np.testing.assert_allclose(total.total, exact.sum(0))
    assert total.square == pytest.approx(np.square(exact).sum())
    assert _variance(total) == pytest.approx(np.square(exact - exact.mean(0)).sum())


def test_mean_and_scale_bring_the_stream_to_a_variance_of_one() -> None:
    x = np.random.default_rng(1).normal([5, -3, 0], [1, 4, 0.1], size=(300, 3)).astype(np.float32)
    mean, scale = _mean_and_scale(_fold([_moments(x)]), "explain")
    scaled = (x - mean) / scale
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-6)
    assert np.square(scaled).mean() == pytest.approx(1)


def test_a_part_without_users_is_refused() -> None:
    with pytest.raises(BadInput, match="explain"):
        _mean_and_scale(Moments(0, np.zeros(3), 0.0), "explain")


def test_activations_that_never_vary_leave_a_finite_scale() -> None:
    _, scale = _mean_and_scale(_moments(np.ones((4, 2), np.float32)), "explain")
    assert 0 < scale < 1


def test_without_a_model_no_ranking_is_measured() -> None:
    nowhere = Folder("nowhere")
    given = Committed(nowhere, {"metrics": {"kind": "given"}})
    assert _ranking(given, given, "user", nowhere) is None
