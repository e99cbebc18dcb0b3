"""The SAE against dense formulas in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from recsae.config.sae import Kind, SaeConfig
from recsae.sae import model
from recsae.sae.model import Encoded, Sae
from recsae.store.filesystem import Folder
from tests.sae.dense import code_of, random_sae

WIDTH, LATENTS, K = 6, 20, 4
KINDS = get_args(Kind)
LEARNT = 0.4
"""A threshold, of the kinds that learn one."""


def an_sae(kind: Any, seed: int = 0, dtype: torch.dtype = torch.float64) -> Sae:
    sae = random_sae(SaeConfig(kind=kind, num_latents=LATENTS, k=K), WIDTH, seed, dtype)
    if kind in ("batchtopk", "matryoshka"):
        sae.threshold.fill_(LEARNT)
    return sae


def activations(rows: int = 50, seed: int = 1) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


def dense_code(sae: Sae, x_BD: Tensor) -> Tensor:
    """`z` `(B, H)` as after training, without a batch."""
    pre_BH = (x_BD - sae.mean_D) / sae.scale @ sae.W_enc.T + sae.b_enc
    if sae.kind in ("batchtopk", "matryoshka"):
        return torch.where(pre_BH > LEARNT, pre_BH, 0.0)
    return code_of(sae, pre_BH)


def scattered(encoded: Encoded) -> Tensor:
    """`z` `(B, H)` of a code in which each latent occurs once."""
    active_BK = encoded.value_BK > 0
    rows = zip(encoded.index_BK.tolist(), active_BK.tolist(), strict=True)
    named = [[h for h, active in zip(*row, strict=True) if active] for row in rows]
    assert all(len(set(row)) == len(row) for row in named)
    z_BH = torch.zeros(len(encoded.index_BK), LATENTS, dtype=encoded.value_BK.dtype)
    return z_BH.scatter_add(1, encoded.index_BK.long(), encoded.value_BK)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encoding_and_decoding_equal_the_dense_formula(kind: str, dtype: torch.dtype) -> None:
    exact, x_BD = an_sae(kind), activations()
    sae = an_sae(kind, dtype=dtype)
    encoded = sae.encode(x_BD.to(dtype))
    assert encoded.index_BK.dtype == torch.int32 and encoded.value_BK.dtype == dtype
    assert encoded.index_BK.shape == encoded.value_BK.shape
    assert ((encoded.index_BK >= 0) & (encoded.index_BK < LATENTS)).all() and (encoded.value_BK >= 0).all()
    assert (encoded.index_BK[encoded.value_BK == 0] == 0).all()
    off = 1e-12 if dtype == torch.float64 else 1e-4
    z_BH = dense_code(exact, x_BD)
    torch.testing.assert_close(scattered(encoded).double(), z_BH, atol=off, rtol=off)
    assert encoded.index_BK.shape[1] == (K if kind == "topk" else (z_BH > 0).sum(1).max())
    x_hat_BD = exact.mean_D + exact.scale * (z_BH @ exact.W_dec + exact.b_dec)
    torch.testing.assert_close(sae.decode(*encoded).double(), x_hat_BD, atol=off, rtol=off)
    assert torch.equal(sae.reconstruct(x_BD.to(dtype)), sae.decode(*encoded))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block's most active case decides its width; blocks of different widths are joined."""
    sae, x_BD = an_sae(kind), activations()
    whole = scattered(sae.encode(x_BD))
    for rows in (1, 7, 50):
        monkeypatch.setattr(model, "MAX_FLOATS_PER_BLOCK", rows * LATENTS)
        torch.testing.assert_close(scattered(sae.encode(x_BD)), whole, rtol=1e-13, atol=1e-13)
    monkeypatch.setattr(model, "MAX_FLOATS_PER_BLOCK", 1)  # less than one activation needs
    torch.testing.assert_close(scattered(sae.encode(x_BD)), whole, rtol=1e-13, atol=1e-13)


def test_a_latent_below_zero_is_silent_though_among_the_k() -> None:
    sae = an_sae("topk")
    sae.b_enc.fill_(-100)
    sae.b_enc[3] = 100
    encoded = sae.encode(activations(8))
    assert encoded.index_BK.shape == (8, K) and ((encoded.value_BK > 0).sum(1) == 1).all()
    assert (encoded.index_BK[encoded.value_BK > 0] == 3).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_active_latent_the_bias_is_left(kind: str) -> None:
    sae, x_BD = an_sae(kind), activations(9)
    sae.b_enc.fill_(-1000)
    encoded = sae.encode(x_BD)
    assert len(encoded.index_BK) == 9 and not encoded.value_BK.any() and not encoded.index_BK.any()
    torch.testing.assert_close(sae.decode(*encoded), (sae.mean_D + sae.scale * sae.b_dec).expand(9, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_centring_and_scaling_are_undone(kind: str) -> None:
    """Moving and stretching the stream, centre and scale with it, moves and stretches the reconstruction."""
    sae, x_BD = an_sae(kind), activations(9)
    before = sae.reconstruct(x_BD)
    shift_D = torch.randn(WIDTH, dtype=torch.float64)
    sae.mean_D.mul_(3).add_(shift_D)
    sae.scale.mul_(3)
    torch.testing.assert_close(sae.reconstruct(3 * x_BD + shift_D), 3 * before + shift_D)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_nothing_is_reconstructed_as_nothing(kind: str) -> None:
    sae = an_sae(kind)
    assert sae.reconstruct(activations(0)).shape == (0, WIDTH)
    assert len(sae.encode(activations(0)).index_BK) == 0


def test_the_threshold_itself_is_not_above_it() -> None:
    sae = an_sae("batchtopk")
    sae.W_enc.zero_()
    sae.b_enc.copy_(torch.linspace(-1, 1, LATENTS))
    sae.threshold.copy_(sae.b_enc[15])
    assert (scattered(sae.encode(activations(2))) > 0).sum(1).tolist() == [LATENTS - 16] * 2


def test_gradients_reach_the_decoder_and_no_encoder_is_asked_for_one() -> None:
    sae = an_sae("topk").requires_grad_()
    sae.reconstruct(activations()).square().sum().backward()  # type: ignore[no-untyped-call]
    assert sae.W_dec.grad is not None and sae.b_dec.grad is not None and sae.W_enc.grad is None


def test_the_decoder_starts_with_unit_rows_that_the_encoder_shares() -> None:
    sae = Sae(WIDTH, LATENTS)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(LATENTS))
    assert torch.equal(sae.W_enc, sae.W_dec) and sae.W_enc.data_ptr() != sae.W_dec.data_ptr()
    assert not sae.b_enc.any() and not sae.b_dec.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_sae_is_the_same_to_the_bit(kind: str, tmp_path: Path) -> None:
    sae, folder = an_sae(kind, dtype=torch.float32), Folder(str(tmp_path))
    model.save(folder, sae)
    loaded = model.load(folder)
    x_BD = activations(20).float()
    assert torch.equal(loaded.reconstruct(x_BD), sae.reconstruct(x_BD))
    stored = loaded.state_dict()
    assert stored.keys() == {"W_enc", "b_enc", "W_dec", "b_dec", "mean_D", "scale", "threshold"}
    assert all(torch.equal(value, stored[name]) for name, value in sae.state_dict().items())
    assert (loaded.width, loaded.num_latents, loaded.kind, loaded.k) == (WIDTH, LATENTS, kind, K)
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
