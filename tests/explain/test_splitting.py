"""Decompositions of vectors sum to the vector; pooled contributions."""

from __future__ import annotations

import pytest
import torch

from recsae.config.sae import Kind
from recsae.explain.splitting import Decomposer
from tests.explain.explained_world import LATENTS, WIDTH, sae_of


def vectors(number: int = 50) -> torch.Tensor:
    return torch.randn(number, WIDTH, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kind", ["topk", "relu"])
def test_the_error_is_what_the_sae_does_not_reconstruct(kind: Kind) -> None:
    sae, x_ND = sae_of(kind), vectors()
    pieces = Decomposer(sae)(x_ND)
    torch.testing.assert_close(pieces.error_ND.float(), x_ND - sae.reconstruct(x_ND), atol=1e-5, rtol=1e-5)
    assert pieces.error_ND.abs().mean() > 0.1


def test_the_parts_sum_to_the_vector_beyond_float32_precision() -> None:
    split, x_ND = Decomposer(sae_of()), vectors()
    index_NK, value_NK, error_ND = split(x_ND)
    again_ND = split.c_D + split.directions(index_NK, value_NK).sum(1) + error_ND
    torch.testing.assert_close(again_ND, x_ND.double(), atol=1e-14, rtol=1e-14)


def test_pooled_contributions_are_summed_by_latent() -> None:
    split, x_ND = Decomposer(sae_of()), vectors()
    slope_SND = torch.randn(3, *x_ND.shape, generator=torch.Generator().manual_seed(4))
    pooled = split.pool(x_ND, slope_SND)
    pieces = split(x_ND)
    value_H, contribution_SH = torch.zeros(LATENTS), torch.zeros(3, LATENTS, dtype=torch.float64)
    for number in range(len(x_ND)):
        for latent, value in zip(pieces.index_NK[number].tolist(), pieces.value_NK[number].tolist(), strict=True):
            value_H[latent] += value
            contribution_SH[:, latent] += value * (slope_SND[:, number].double() @ split.d_HD[latent])
    assert pooled.latent_K.tolist() == value_H.nonzero()[:, 0].tolist()
    torch.testing.assert_close(pooled.value_K, value_H[pooled.latent_K])
    torch.testing.assert_close(pooled.contribution_SK, contribution_SH[:, pooled.latent_K])
    whole_S = (slope_SND.double() * (x_ND.double() - split.c_D)).sum((1, 2))
    torch.testing.assert_close(pooled.contribution_SK.sum(1) + pooled.error_S, whole_S)
