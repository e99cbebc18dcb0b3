"""Shards as cases: histories, pairs that fire, and null latents."""

from __future__ import annotations

import numpy as np
import torch

from recsae.data.chunks import Chunk
from recsae.statements import reading
from tests.concepts.streams import integer_sae
from tests.statements.test_counting import LATENTS, reading_plan


def test_histories_end_before_their_position() -> None:
    chunk = Chunk(np.array([3, 8]), np.array([0, 12, 15]), np.arange(15).astype(np.int32), np.zeros(15, np.int8))
    found = reading.events_before(chunk, np.array([8, 3, 3, 3]), np.array([2, 0, 11, 12]))
    assert found[0].tolist() == [13, 12, *[-1] * 8]
    assert found[1].tolist() == [-1] * 10
    assert found[2].tolist() == list(range(10, 0, -1))
    assert found[3].tolist() == list(range(11, 1, -1))


def test_pairs_are_the_positive_codes() -> None:
    sae = integer_sae()
    vectors = np.random.default_rng(0).integers(-3, 4, (20, sae.width)).astype(np.float32)
    case_A, latent_A, activation_A = reading.active_pairs(sae, vectors)
    pre = torch.from_numpy(vectors) @ sae.W_enc.T + sae.b_enc
    expected = {
        (case, int(latent), float(pre[case, latent]))
        for case in range(20)
        for latent in pre[case].topk(sae.k).indices
        if pre[case, latent] > 0
    }
    assert set(zip(case_A.tolist(), latent_A.tolist(), activation_A.tolist(), strict=True)) == expected
    assert [len(of) for of in reading.active_pairs(sae, vectors[:0])] == [0, 0, 0]


def _users(seed: int, equal: bool) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.repeat(np.arange(300), 8 if equal else draw.integers(1, 12, 300))


def test_null_latents_fire_in_cases_of_other_users_each_once() -> None:
    user_B = _users(0, equal=False)
    fires_BH = np.random.default_rng(1).random((len(user_B), LATENTS)) < 0.3
    case_A, latent_A = np.nonzero(fires_BH)
    activation_A = np.arange(len(case_A)).astype(np.float32)
    to_A, null_A, kept_A = reading._dealt(reading_plan(), user_B, case_A, latent_A, activation_A)
    origin = kept_A.astype(np.int64)
    assert (user_B[to_A] != user_B[case_A[origin]]).all()
    assert (null_A - LATENTS == latent_A[origin]).all() and set(null_A.tolist()) == {LATENTS, LATENTS + 1}
    assert len(set(zip(to_A.tolist(), null_A.tolist(), strict=True))) == len(to_A)
    assert len(to_A) > 0.98 * fires_BH[:, :2].sum()


def test_what_fires_early_in_a_history_fires_anywhere_when_dealt() -> None:
    user_B, place_B = _users(0, equal=True), np.tile(np.arange(8), 300)
    case_A = np.flatnonzero(place_B < 2)
    to_A, _, _ = reading._dealt(
        reading_plan(), user_B, case_A, np.zeros(len(case_A), np.int64), np.ones(len(case_A), np.float32)
    )
    share = np.bincount(place_B[to_A], minlength=8) / len(to_A)
    assert np.abs(share - 1 / 8).max() < 0.04


def test_dealing_keeps_most_runs() -> None:
    user_B, place_B = _users(0, equal=True), np.tile(np.arange(8), 300)
    case_A = np.flatnonzero(place_B < 4)
    to_A, _, _ = reading._dealt(
        reading_plan(), user_B, case_A, np.zeros(len(case_A), np.int64), np.ones(len(case_A), np.float32)
    )
    fires_B = np.isin(np.arange(len(user_B)), to_A)
    inside = user_B[1:] == user_B[:-1]
    assert 1.4 < (fires_B[1:] != fires_B[:-1])[inside].sum() / 300 < 1.9


def test_no_cases_are_dealt_to_nobody() -> None:
    nothing = np.empty(0, np.int64)
    found = reading._dealt(reading_plan(), nothing, nothing, nothing, nothing.astype(np.float32))
    assert [len(column) for column in found] == [0, 0, 0]
