"""The controls are drawn by the seed, and are what they say."""

from __future__ import annotations

import numpy as np

from recsae.statements import controls

IDS = [f"item {number}" for number in range(5000)]


def test_a_tenth_of_the_items_is_kept_from_the_search_by_its_id() -> None:
    unseen_I = controls.unseen_items(IDS, 3)
    assert 0.085 < unseen_I.mean() < 0.115
    assert controls.unseen_items(IDS[::-1], 3)[::-1].tolist() == unseen_I.tolist()
    assert controls.unseen_items(IDS[100:], 3).tolist() == unseen_I[100:].tolist()
    both = (unseen_I & controls.unseen_items(IDS, 4)).mean()
    assert 0.004 < both < 0.017


def test_null_latents_are_alive_and_differ() -> None:
    alive = np.arange(10, 500, 3)
    drawn = controls.draw_nulls(alive, 0)
    assert len(set(drawn.tolist())) == controls.NULLS and set(drawn.tolist()) <= set(alive.tolist())
    assert drawn.tolist() == sorted(drawn.tolist()) == controls.draw_nulls(alive, 0).tolist()
    assert drawn.tolist() != controls.draw_nulls(alive, 1).tolist()
    assert controls.draw_nulls(alive[:5], 0).tolist() == alive[:5].tolist()


def test_a_partner_is_another_latent_of_the_more_orthogonal_half() -> None:
    draw = np.random.default_rng(0)
    W_dec = draw.standard_normal((40, 8))
    W_dec /= np.linalg.norm(W_dec, axis=1, keepdims=True)
    latents = np.arange(0, 40, 2)
    found = controls.partners(latents, W_dec, 0)
    assert found.tolist() == controls.partners(latents, W_dec, 0).tolist()
    for latent, partner in zip(latents.tolist(), found.tolist(), strict=True):
        cosines = {other: abs(W_dec[other] @ W_dec[latent]) for other in latents.tolist() if other != latent}
        assert partner in sorted(cosines, key=cosines.__getitem__)[: (len(latents) - 1) // 2]
    assert len(set(found.tolist())) > len(latents) // 3


def test_one_latent_has_no_partner_and_two_have_each_other() -> None:
    assert controls.partners(np.array([7]), np.eye(9), 0).tolist() == [-1]
    assert controls.partners(np.array([2, 7]), np.eye(9), 0).tolist() == [7, 2]
