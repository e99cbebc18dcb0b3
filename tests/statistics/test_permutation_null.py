"""The permutation null against a plain loop, and its p-values for random and planted attributes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy import sparse

from recsae.sae import correlation
from recsae.sae.controls import principal_components
from recsae.sae.model import Sae
from recsae.statistics.permutation_null import PermutationNull, best_of_permuted, values

CASES, ITEMS, LATENTS, BORNE, SEED = 250, 25, 8, 5, 11


def items(seed: int = 0) -> np.ndarray:
    """Some items occur often and some never."""
    draw = np.random.default_rng(seed)
    return draw.choice(ITEMS, CASES, p=draw.dirichlet(np.full(ITEMS, 0.5))).astype(np.int32)


def profiles(seed: int = 1) -> np.ndarray:
    """All items have the last attribute; only an item that never occurs has the one before."""
    borne = (np.random.default_rng(seed).random((ITEMS, BORNE)) < 0.3).astype(np.float64)
    borne[:, -1] = 1
    borne[:, -2] = 0
    borne[int(np.setdiff1d(np.arange(ITEMS), items())[0]), -2] = 1
    return borne


def codes(seed: int = 2) -> np.ndarray:
    """The first latent is dead; the second follows the first attribute."""
    z = np.maximum(np.random.default_rng(seed).normal(-0.5, 1, (CASES, LATENTS)), 0)
    z[:, 0] = 0
    z[:, 1] *= profiles()[items(), 0]
    return z


def plain(z: np.ndarray, item: np.ndarray, borne: np.ndarray, permutations: range, both: bool) -> list[list[float]]:
    """Best correlations by numpy, first observed, then for each permutation."""
    occurs = sorted(set(item.tolist()))
    rows = []
    for number in (None, *permutations):
        order = range(len(occurs))
        if number is not None:
            order = np.random.default_rng([SEED, number]).permutation(len(occurs)).tolist()
        moved = {one: borne[occurs[other]] for one, other in zip(occurs, order, strict=True)}
        by_case = np.array([moved[one] for one in item.tolist()])
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            r = np.nan_to_num(np.corrcoef(z.T, by_case.T)[z.shape[1] :, : z.shape[1]])
        r[by_case.std(0) == 0] = 0
        rows.append((np.abs(r) if both else r).max(1).tolist())
    return rows


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_the_best_of_permuted_attributes_is_that_of_a_plain_loop(as_sparse: bool, both: bool) -> None:
    z, item, borne = codes(), items(), profiles()
    code = sparse.csr_array(z) if as_sparse else z - z.mean(0)
    found = best_of_permuted(code, item, sparse.csr_array(borne), range(30), SEED, both_signs=both)
    seen, *permuted = plain(z, item, borne, range(30), both)
    np.testing.assert_allclose(found.observed_A, seen, atol=1e-12)
    np.testing.assert_allclose(found.best_PA, permuted, atol=1e-12)
    assert found.observed_A[0] > 0.3 and found.observed_A[-2] == found.observed_A[-1] == 0
    assert len({tuple(row) for row in permuted}) == 30


def test_permutations_do_not_depend_on_how_they_are_dealt_out() -> None:
    z, item, borne = sparse.csr_array(codes()), items(), sparse.csr_array(profiles())
    whole = best_of_permuted(z, item, borne, range(9), SEED, both_signs=False)
    pieces = [best_of_permuted(z, item, borne, some, SEED, both_signs=False) for some in (range(4), range(4, 9))]
    assert np.concatenate([piece.best_PA for piece in pieces]).tolist() == whole.best_PA.tolist()
    assert all(piece.observed_A.tolist() == whole.observed_A.tolist() for piece in pieces)
    other = best_of_permuted(z, item, borne, range(9), SEED + 1, both_signs=False)
    assert (other.best_PA[:, :3] != whole.best_PA[:, :3]).any()


def test_profiles_move_whole_and_their_support_with_them() -> None:
    """Identical attributes have the same best in every permutation; supports differ between permutations."""
    z, item, borne = sparse.csr_array(codes()), items(), profiles()
    borne[:, 1] = borne[:, 0]
    found = best_of_permuted(z, item, sparse.csr_array(borne), range(20), SEED, both_signs=False)
    assert found.best_PA[:, 0].tolist() == found.best_PA[:, 1].tolist()
    assert len(set(found.best_PA[:, 0].tolist())) == 20


def test_p_is_the_share_of_permutations_at_least_as_good() -> None:
    found = PermutationNull(np.array([0.5, 0.5, 0.9]), np.array([[0.5, 0.1, 0.2], [0.6, 0.2, 0.2], [0.4, 0.3, 0.2]]))
    assert found.p_A.tolist() == [3 / 4, 1 / 4, 1 / 4]
    np.testing.assert_allclose(found.mean_A, [0.5, 0.2, 0.2])
    np.testing.assert_allclose(found.upper_A, [0.59, 0.29, 0.2])
    assert found.upper_of_mean(np.array([True, True, False])) == pytest.approx(0.395)


def test_p_of_luck_is_spread_evenly_and_design_is_seen() -> None:
    """60 random attributes: p below .1 in about a tenth of them, though each has the best of 8 latents."""
    draw = np.random.default_rng(3)
    item = draw.integers(0, 80, 600).astype(np.int32)
    by_item = np.maximum(draw.normal(0, 1, (80, LATENTS)), 0)  # cases of an item are alike, as in a recommender
    z = np.maximum(by_item[item] + draw.normal(0, 0.3, (600, LATENTS)), 0)
    borne = (draw.random((80, 60)) < 0.3).astype(np.float64)
    borne[:, 0] = by_item[:, 5] > 0.5
    found = best_of_permuted(z - z.mean(0), item, sparse.csr_array(borne), range(99), SEED, both_signs=False)
    assert found.p_A[0] == 1 / 100
    lucky = (found.p_A[1:] <= 0.1).mean()
    assert 0.02 <= lucky <= 0.2
    # Without the correction all of them seem significant: the best of 8 is far from 0.
    assert found.observed_A[1:].mean() > 0.1 and abs(found.observed_A[1:].mean() - found.mean_A[1:].mean()) < 0.02


def test_values_of_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(4).normal(2, 1, (50, 6)).astype(np.float32)
    raw = values(None, x)
    np.testing.assert_allclose(raw, x.astype(np.float64) - x.astype(np.float64).mean(0), atol=1e-12)
    exact = x.astype(np.float64)
    scatter = (exact - exact.mean(0)).T @ (exact - exact.mean(0))
    z = values(principal_components(exact.mean(0), scatter, 6), x)
    assert isinstance(z, np.ndarray)
    np.testing.assert_allclose(z.T @ z, np.diag(np.linalg.eigvalsh(scatter)[::-1]), atol=1e-4)
    torch.manual_seed(0)
    sae = Sae(6, 10, "topk", 3).requires_grad_(False)
    monkeypatch.setattr(correlation, "load_code", lambda code: sae)
    monkeypatch.setattr(correlation.model, "MAX_FLOATS_PER_BLOCK", 70)
    code = values(None, x)
    assert isinstance(code, sparse.csr_array) and code.shape == (50, 10)
    pre = (torch.from_numpy(x) @ sae.W_enc.T).numpy()
    assert ((code.toarray() > 0).sum(1) <= 3).all()
    np.testing.assert_allclose(code.toarray().max(1), np.maximum(pre.max(1), 0), rtol=1e-5)
