"""The strongest cases and their cosines, against plain loops over all pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recsae.statistics import coherence
from recsae.statistics.coherence import CASES as KEPT
from recsae.statistics.coherence import Strongest, StrongestFinder, ends, farther_ends, measure

CASES, WIDTH, LATENTS, USERS = 300, 5, 7, 40


def stream(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Activations that often tie, vectors, users and ids of cases; latent 5 fires once, latent 6 never."""
    draw = np.random.default_rng(seed)
    z = np.maximum(draw.integers(-6, 7, (CASES, LATENTS)), 0).astype(np.float64)
    z[:, 5:] = 0
    z[17, 5] = 2
    return (
        z,
        draw.normal(1, 1, (CASES, WIDTH)).astype(np.float32),
        draw.integers(0, USERS, CASES),
        draw.permutation(CASES),
    )


def sought(of: tuple[np.ndarray, ...], edges: list[int], block: int) -> Strongest:
    """Shards are cut at `edges` and read in blocks."""
    z, x, user, case = of
    found = []
    for start, stop in zip([0, *edges], [*edges, CASES], strict=True):
        seeker = StrongestFinder(LATENTS)
        for first in range(start, stop, block):
            row, latent = np.nonzero(z[first : min(first + block, stop)])
            seeker.add(latent, z[row + first, latent], row + first - start, user[start:stop], case[start:stop])
        found.append(seeker.found(x[start:stop]))
    total = found[0]
    for part in found[1:]:
        total = total.plus(part)
    return total


def plain(of: tuple[np.ndarray, ...]) -> dict[int, list[int]]:
    """Rows of each latent's strongest cases, one per user."""
    z, _, user, case = of
    kept: dict[int, list[int]] = {}
    for latent in range(LATENTS):
        users: set[int] = set()
        for row in sorted(np.flatnonzero(z[:, latent]).tolist(), key=lambda row: (-z[row, latent], case[row])):
            if user[row] not in users and len(users) < KEPT:
                users.add(user[row])
                kept.setdefault(latent, []).append(row)
    return kept


@pytest.mark.parametrize(("edges", "block"), [([], CASES), ([], 1), ([0, 100, 100, 299], 13)])
def test_the_strongest_cases_are_one_a_user_however_the_stream_is_cut(edges: list[int], block: int) -> None:
    of = stream()
    z, x, user, case = of
    found, expected = sought(of, edges, block), plain(of)
    rows = [row for latent in sorted(expected) for row in expected[latent]]
    assert found.latent_N.tolist() == [latent for latent in sorted(expected) for _ in expected[latent]]
    assert found.case_N.tolist() == case[rows].tolist() and found.user_N.tolist() == user[rows].tolist()
    assert found.value_N.tolist() == z[rows, found.latent_N].tolist()
    assert found.x_ND.tolist() == x[rows].tolist()
    assert len(set(found.value_N.tolist())) < len(rows) // 2  # there were ties


def cosines(x: np.ndarray, kept: dict[int, list[int]]) -> tuple[dict[int, float], dict[int, float]]:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    within, between = {}, {}
    for latent, rows in kept.items():
        own = [float(unit[one] @ unit[other]) for one, other in itertools.permutations(rows, 2)]
        others = [row for other, rows_of in kept.items() if other != latent for row in rows_of]
        within[latent] = float(np.mean(own)) if own else float("nan")
        between[latent] = float(np.mean([unit[one] @ unit[other] for one in rows for other in others]))
    return within, between


@pytest.mark.parametrize("seed", range(3))
def test_cosines_are_those_of_all_pairs(seed: int) -> None:
    of = stream(seed)
    mean = np.full(WIDTH, 0.9)
    found, kept = measure(sought(of, [], 50), LATENTS, mean), plain(of)
    exact = of[1].astype(np.float64)
    for mine, expected in zip(found, (*cosines(exact, kept), *cosines(exact - mean, kept)), strict=True):
        assert np.isnan(mine[6])
        np.testing.assert_allclose(mine[:6], [expected[latent] for latent in range(6)], atol=1e-12)
    # A single case has no pair within the latent, but others to compare with.
    assert np.isnan(found.within_H[5]) and not np.isnan(found.between_H[5])


def test_alike_cases_are_1_and_the_mean_alone_makes_others_alike() -> None:
    draw = np.random.default_rng(0)
    x = np.repeat(draw.normal(0, 1, (4, 50)), KEPT, axis=0) + 5
    latent, row = np.repeat(np.arange(4), KEPT), np.arange(4 * KEPT)
    found = measure(Strongest(latent, np.ones(len(row)), row, row, x), 4, np.full(50, 5.0))
    np.testing.assert_allclose([found.within_H, found.within_centred_H], 1)
    assert found.between_H.min() > 0.9 and np.abs(found.between_centred_H).max() < 0.4


def test_a_lonely_latent_has_nothing_between() -> None:
    found = measure(Strongest(*(np.zeros(2, int),) * 4, np.eye(2)), 1, np.zeros(2))
    assert found.within_H.tolist() == [0] and np.isnan(found.between_H).all()


def test_vectors_of_no_length_are_like_nothing() -> None:
    found = measure(Strongest(np.array([0, 0, 1]), *(np.arange(3),) * 3, np.zeros((3, 4))), 2, np.zeros(4))
    assert found.within_H[0] == 0 and found.between_H.tolist() == [0, 0]


@pytest.mark.parametrize("at_once", [1, 70, 2**18])
def test_a_dimension_is_its_farther_end(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coherence, "CANDIDATES_PER_BLOCK", at_once)
    draw = np.random.default_rng(1)
    x, user, case = draw.normal(0, 1, (CASES, WIDTH)), np.arange(CASES), np.arange(CASES)
    x[7, 2], x[8, 3] = 20, -20
    seeker = StrongestFinder(2 * WIDTH)
    for latent, value, row in ends(x):
        seeker.add(latent, value, row, user, case)
    found = farther_ends(seeker.found(x), WIDTH)
    assert found.latent_N.tolist() == np.repeat(np.arange(WIDTH), KEPT).tolist()
    for dimension in range(WIDTH):
        away = x[:, dimension] * (1 if x[:, dimension].max() >= -x[:, dimension].min() else -1)
        mine = found.latent_N == dimension
        assert found.case_N[mine].tolist() == np.argsort(-away)[:KEPT].tolist()
        np.testing.assert_array_equal(found.value_N[mine], np.sort(away)[::-1][:KEPT])
    assert found.case_N[found.latent_N == 2][0] == 7 and found.case_N[found.latent_N == 3][0] == 8
