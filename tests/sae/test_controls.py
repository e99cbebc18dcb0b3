"""Reconstructions and controls against their formulas in numpy."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from recsae.sae.controls import (
    Principal,
    Raw,
    Reconstruction,
    Trained,
    Untrained,
    fidelity_controls,
    principal_components,
)
from recsae.sae.model import Sae, load, save
from recsae.store.filesystem import Folder

WIDTH, LATENTS, K = 12, 48, 4


def stream(rows: int = 400) -> np.ndarray:
    """Vectors of unequal variances around a mean far from 0."""
    draw = np.random.default_rng(0)
    turn = np.linalg.qr(draw.normal(size=(WIDTH, WIDTH)))[0]
    spread = draw.normal(size=(rows, WIDTH)) * np.geomspace(5, 0.1, WIDTH)
    return np.asarray(spread @ turn + 20, dtype=np.float32)


def scatter(x: np.ndarray) -> np.ndarray:
    away = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    return np.asarray(away.T @ away)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    torch.manual_seed(1)
    sae = Sae(WIDTH, LATENTS, "relu")
    sae.mean_D.fill_(20)
    sae.scale.fill_(2)
    sae.threshold.fill_(0.5)
    torch.nn.init.normal_(sae.b_enc, std=0.1)
    save(Folder(str(tmp_path)), sae)
    return Folder(str(tmp_path))


def test_the_reconstruction_is_that_of_the_sae_in_the_folder(folder: Folder) -> None:
    x = torch.from_numpy(stream())
    edit = pickle.loads(pickle.dumps(Trained(folder))).on("cpu")
    assert torch.equal(edit(x), load(folder).reconstruct(x))
    assert (edit(x) - x).abs().mean() > 0.1


def test_with_its_error_the_reconstruction_is_the_vector(folder: Folder) -> None:
    x = torch.from_numpy(stream())
    torch.testing.assert_close(Trained(folder, with_error=True).on("cpu")(x), x, rtol=1e-6, atol=1e-5)


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    x = stream()
    for rank in (1, 3, WIDTH):
        exact = x.astype(np.float64)
        left, singular, right = np.linalg.svd(exact - exact.mean(0), full_matrices=False)
        expected = exact.mean(0) + (left[:, :rank] * singular[:rank]) @ right[:rank]
        edit = principal_components(exact.mean(0), scatter(x), rank).on("cpu")
        assert edit.axes_RD.shape == (rank, WIDTH) and edit.axes_RD.dtype == torch.float32
        np.testing.assert_allclose(edit(torch.from_numpy(x)), expected, atol=2e-4)
    assert principal_components(x.mean(0), scatter(x), WIDTH + 5).axes_RD.shape == (WIDTH, WIDTH)


def test_raw_keeps_the_coordinates_farthest_from_the_mean() -> None:
    mean = torch.tensor([10.0, 0.0, -10.0, 0.0])
    x = torch.tensor([[10.0, 3.0, -14.0, -1.0], [9.0, 0.5, -10.0, 0.25]])
    expected = torch.tensor([[10.0, 3.0, -14.0, 0.0], [9.0, 0.5, -10.0, 0.0]])
    assert torch.equal(Raw(mean, 2).on("cpu")(x), expected)
    assert torch.equal(Raw(mean, 9)(x), x)
    assert mean.tolist() == [10, 0, -10, 0]


def test_no_choice_of_raw_dimensions_keeps_more_of_an_activation() -> None:
    x = torch.from_numpy(stream())
    mean = x.mean(0)
    error = (Raw(mean, 3)(x) - x).square().sum(1)
    fixed = torch.where(torch.arange(WIDTH) < 3, x, mean)
    assert (error <= (fixed - x).square().sum(1) + 1e-4).all()


def test_an_untrained_sae_is_as_wide_with_first_weights_of_its_own(folder: Folder) -> None:
    x = torch.from_numpy(stream())
    before = torch.random.get_rng_state()
    edit = Untrained(folder, K, 5).on("cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    trained = load(folder)
    assert isinstance(edit, Reconstruction) and edit.sae.W_dec.shape == trained.W_dec.shape
    assert edit.sae.kind == "topk" and edit.sae.k == K
    assert torch.equal(edit.sae.mean_D, trained.mean_D) and torch.equal(edit.sae.scale, trained.scale)
    assert torch.equal(edit.sae.W_dec, edit.sae.W_enc) and not edit.sae.b_enc.any()
    assert not torch.equal(edit.sae.W_dec, trained.W_dec)
    assert ((edit.sae.encode(x).value_BK > 0).sum(1) == K).all()
    assert torch.equal(Untrained(folder, K, 5).on("cpu")(x), edit(x))
    assert not torch.equal(Untrained(folder, K, 6).on("cpu")(x), edit(x))
    longer = Untrained(folder, K, 5, length=2.0).on("cpu")(x)
    torch.testing.assert_close(longer - trained.mean_D, 2 * (edit(x) - trained.mean_D))


def test_the_table_has_its_rows_in_order(folder: Folder) -> None:
    x = stream()
    found = fidelity_controls(Untrained(folder, 3, 0), x.mean(0), scatter(x))
    assert list(found) == ["sae", "sae_with_error", "pca", "untrained", "raw"]
    pca, untrained, raw = found["pca"], found["untrained"], found["raw"]
    assert isinstance(pca, Principal) and len(pca.axes_RD) == 3
    assert isinstance(untrained, Untrained) and untrained.k == 3
    assert isinstance(raw, Raw) and raw.number == 3
    for control in found.values():
        assert control.on("cpu")(torch.from_numpy(x)).shape == x.shape
        assert len(pickle.dumps(control)) < 10_000
