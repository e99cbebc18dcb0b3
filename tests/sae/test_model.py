"""The SAE against dense formulas in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from recsae.config import SaeConfig
from recsae.sae import model
from recsae.sae.model import TopKSae, keep_decoder_unit, losses
from recsae.store.folder import Folder

WIDTH, LATENTS, K = 6, 20, 4


def random_sae(seed: int = 0, dtype: torch.dtype = torch.float32) -> TopKSae:
    """Weights with nothing tied or zero, a centre and a scale."""
    torch.manual_seed(seed)
    sae = TopKSae(WIDTH, LATENTS, K)
    with torch.no_grad():
        sae.W_enc.copy_(torch.randn(LATENTS, WIDTH))
        sae.b_enc.copy_(torch.randn(LATENTS) / 2)
        sae.b_dec.copy_(torch.randn(WIDTH))
        sae.mean_D.copy_(torch.randn(WIDTH))
        sae.scale.fill_(2.5)
    return sae.to(dtype)


def dense_code(sae: TopKSae, normalised: Tensor) -> Tensor:
    """`ReLU(TopK(pre))`, `(B, H)`, by sorting."""
    pre = normalised @ sae.W_enc.T + sae.b_enc
    kth = pre.sort(1, descending=True).values[:, K - 1 : K]
    return torch.where(pre >= kth, pre, 0.0).relu()


def test_encoding_and_decoding_equal_the_dense_formula() -> None:
    sae, x = random_sae(), torch.randn(50, WIDTH) * 3
    exact = random_sae(dtype=torch.float64)
    code = dense_code(exact, (x.double() - exact.mean_D) / exact.scale)
    encoded = sae.encode(x)
    assert encoded.index_BK.shape == encoded.value_BK.shape == (50, K)
    assert all(len(set(row)) == K for row in encoded.index_BK.tolist())
    assert (encoded.value_BK >= 0).all()
    found = torch.zeros(50, LATENTS).scatter(1, encoded.index_BK, encoded.value_BK)
    torch.testing.assert_close(found.double(), code, atol=1e-5, rtol=1e-5)
    expected = exact.mean_D + exact.scale * (code @ exact.W_dec + exact.b_dec)
    torch.testing.assert_close(sae.reconstruct(x).double(), expected, atol=1e-4, rtol=1e-4)


def test_a_latent_below_zero_is_silent_though_among_the_k() -> None:
    sae = random_sae()
    with torch.no_grad():
        sae.b_enc.fill_(-100)
        sae.b_enc[3] = 100
    encoded = sae.encode(torch.randn(8, WIDTH))
    assert encoded.index_BK.shape == (8, K)
    assert ((encoded.value_BK > 0).sum(1) == 1).all()
    assert (encoded.index_BK[encoded.value_BK > 0] == 3).all()


def test_centring_and_scaling_are_undone() -> None:
    """Moving and stretching the stream, centre and scale with it, moves and stretches the reconstruction."""
    sae, x = random_sae(dtype=torch.float64), torch.randn(9, WIDTH, dtype=torch.float64)
    before = sae.reconstruct(x)
    shift = torch.randn(WIDTH, dtype=torch.float64)
    sae.mean_D.mul_(3).add_(shift)
    sae.scale.mul_(3)
    torch.testing.assert_close(sae.reconstruct(3 * x + shift), 3 * before + shift)


def test_a_batch_of_nothing_is_reconstructed_as_nothing() -> None:
    assert random_sae().reconstruct(torch.empty(0, WIDTH)).shape == (0, WIDTH)


def dense_losses(sae: TopKSae, x: Tensor, dead: Tensor, auxk: int) -> tuple[Tensor, Tensor]:
    pre = x @ sae.W_enc.T + sae.b_enc
    x_hat = dense_code(sae, x) @ sae.W_dec + sae.b_dec
    error = (x_hat - x).square().sum()
    if not dead.any() or not auxk:
        return error, torch.zeros((), dtype=x.dtype)
    masked = torch.where(dead, pre, -torch.inf)
    kth = masked.sort(1, descending=True).values[:, min(auxk, int(dead.sum())) - 1, None]
    auxiliary = torch.where(masked >= kth, pre, 0.0) @ sae.W_dec
    return error, (auxiliary - (x - x_hat).detach()).square().sum()


@pytest.mark.parametrize("dead", [(), (1,), (1, 5, 6, 11, 19), tuple(range(LATENTS))])
@pytest.mark.parametrize("auxk", [0, 3])
@pytest.mark.parametrize("quiet", [False, True])
def test_losses_and_gradients_equal_dense_autograd(dead: tuple[int, ...], auxk: int, quiet: bool) -> None:
    sae, x = random_sae(1, torch.float64), torch.randn(30, WIDTH, dtype=torch.float64)
    if quiet:  # fewer than k pre-activations are positive
        with torch.no_grad():
            sae.b_enc.sub_(5)
    dead_H = torch.zeros(LATENTS, dtype=torch.bool)
    dead_H[list(dead)] = True
    error, auxiliary, fired = losses(sae, x, dead_H, auxk)
    expected_error, expected_auxiliary = dense_losses(sae, x, dead_H, auxk)
    torch.testing.assert_close(error, expected_error)
    torch.testing.assert_close(auxiliary, expected_auxiliary)
    parameters = list(sae.parameters())
    found = torch.autograd.grad(error + auxiliary / 32, parameters)
    expected = torch.autograd.grad(expected_error + expected_auxiliary / 32, parameters)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert (fired > 0).tolist() == (dense_code(sae, x) > 0).any(0).tolist()


def test_the_auxiliary_loss_teaches_dead_encoders_and_nothing_else() -> None:
    sae, x = random_sae(2), torch.randn(40, WIDTH)
    with torch.no_grad():
        sae.b_enc[[4, 9]] = -50.0  # never among the k, and far below the ReLU
    dead_H = torch.zeros(LATENTS, dtype=torch.bool)
    dead_H[[4, 9]] = True
    _, auxiliary, fired = losses(sae, x, dead_H, 2)
    assert not fired[dead_H].any()
    by_name = dict(sae.named_parameters())
    gradients = torch.autograd.grad(auxiliary, list(by_name.values()), materialize_grads=True)
    found = dict(zip(by_name, gradients, strict=True))
    for name in ("W_enc", "W_dec", "b_enc"):
        touched = found[name].reshape(LATENTS, -1).abs().sum(1) > 0
        assert touched.nonzero().ravel().tolist() == [4, 9], name
    assert (found["b_dec"] == 0).all()  # the residual is detached


def test_dead_latents_are_drawn_towards_the_residual_and_not_away() -> None:
    """The sign: where pre-activations are 1, the decoder's gradient is −2 (x − x̂), so a step goes to the residual."""
    sae, x = random_sae(3), torch.randn(1, WIDTH)
    with torch.no_grad():
        sae.W_enc[0], sae.b_enc[0], sae.W_dec[0] = 0.0, 1.0, 0.0
    dead_H = torch.arange(LATENTS) < 1
    _, auxiliary, _ = losses(sae, x, dead_H, 1)
    residual = x - (dense_code(sae, x) @ sae.W_dec + sae.b_dec)
    torch.testing.assert_close(torch.autograd.grad(auxiliary, sae.W_dec)[0][0], -2 * residual.detach()[0])


def test_the_decoders_gradient_is_orthogonal_to_its_rows() -> None:
    sae, gradient = random_sae(), torch.randn(LATENTS, WIDTH)
    kept = keep_decoder_unit(sae, gradient)
    torch.testing.assert_close((kept * sae.W_dec).sum(1), torch.zeros(LATENTS), atol=1e-5, rtol=0)
    across = gradient - kept
    torch.testing.assert_close(across, (across * sae.W_dec).sum(1, keepdim=True) * sae.W_dec, atol=1e-5, rtol=1e-4)


def test_the_decoder_starts_with_unit_rows_that_the_encoder_shares() -> None:
    sae = TopKSae(WIDTH, LATENTS, K)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(LATENTS))
    assert torch.equal(sae.W_enc, sae.W_dec) and sae.W_enc.data_ptr() != sae.W_dec.data_ptr()


def test_a_saved_sae_is_the_same_to_the_bit(tmp_path: Path) -> None:
    sae, folder = random_sae(), Folder(str(tmp_path))
    model.save(folder, sae.state_dict(), SaeConfig(num_latents=LATENTS, k=K), WIDTH)
    loaded = model.load(folder)
    x = torch.randn(20, WIDTH)
    assert torch.equal(loaded.reconstruct(x), sae.reconstruct(x))
    assert torch.equal(loaded.scale, sae.scale) and torch.equal(loaded.mean_D, sae.mean_D)
    assert (loaded.width, loaded.num_latents, loaded.k) == (WIDTH, LATENTS, K)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
