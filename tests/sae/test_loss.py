"""Gradients of every kind of SAE against plain autograd in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from recsae.config.sae import SaeConfig
from recsae.sae.loss import LossSums, Objective
from recsae.sae.model import Sae
from tests.sae.dense import code_of, loss_of, random_sae

WIDTH, LATENTS, K, AUXK, ROWS = 6, 20, 4, 3, 30
KINDS = ("topk", "batchtopk", "relu", "matryoshka")
NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")


def config_of(kind: str, **given: Any) -> SaeConfig:
    sizes = {"num_latents": LATENTS, "k": K, "auxk": AUXK, "l1": 0.3}
    return SaeConfig.model_validate(
        {"kind": kind, **sizes, "prefixes": [3, 9] if kind == "matryoshka" else [], **given}
    )


def expected(sae: Sae, x_BD: Tensor, config: SaeConfig, dead_H: Tensor) -> list[Tensor]:
    parameters = [sae.get_parameter(name) for name in NAMES]
    for parameter in parameters:
        parameter.requires_grad_()
    loss = loss_of(sae, x_BD, config, dead_H, AUXK)
    found = torch.autograd.grad(loss, parameters, materialize_grads=True)
    sae.requires_grad_(False)
    return list(found)


def found_of(lane: LossSums) -> list[Tensor]:
    return [lane.W_enc_HD, lane.b_enc_H, lane.W_dec_HD, lane.b_dec_D]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dead", [(), (1,), (1, 5, 6, 11, 19), tuple(range(LATENTS))])
@pytest.mark.parametrize("quiet", [False, True])
def test_gradients_equal_plain_autograd(kind: str, dead: tuple[int, ...], quiet: bool) -> None:
    config = config_of(kind)
    sae, x_BD = random_sae(config, WIDTH, 1), torch.randn(ROWS, WIDTH, dtype=torch.float64)
    if quiet:  # fewer than k pre-activations are positive
        sae.b_enc.sub_(6)
    dead_H = torch.tensor(dead, dtype=torch.long)
    lane = Objective(config, WIDTH, "cpu").gradient(sae, x_BD, dead_H, x_BD.numel())
    z_BH = code_of(sae, x_BD @ sae.W_enc.T + sae.b_enc)
    assert quiet == bool((z_BH > 0).sum() < ROWS * K)
    for name, one, other in zip(NAMES, found_of(lane), expected(sae, x_BD, config, dead_H), strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")
    assert lane.count_H.tolist() == (z_BH > 0).sum(0).tolist()
    assert lane.active == (z_BH > 0).sum()
    x_hat_BD = z_BH @ sae.W_dec + sae.b_dec
    torch.testing.assert_close(lane.error, (x_hat_BD - x_BD).square().mean())
    if kind in ("batchtopk", "matryoshka") and not quiet:
        assert lane.least == z_BH[z_BH > 0].min()


@pytest.mark.parametrize("kind", KINDS)
def test_of_equal_pre_activations_the_first_are_chosen(kind: str) -> None:
    """Latents in pairs of twins, so that the k-th is tied with the next one; the gradient is of those chosen."""
    config = config_of(kind, k=3)
    sae, x_BD = random_sae(config, WIDTH, 2), torch.randn(ROWS, WIDTH, dtype=torch.float64)
    sae.W_enc[1::2], sae.b_enc[1::2] = sae.W_enc[::2], sae.b_enc[::2]
    dead_H = torch.tensor([2, 3, 8, 9])  # three of them revive: of one pair the first alone
    lane = Objective(config, WIDTH, "cpu").gradient(sae, x_BD, dead_H, x_BD.numel())
    for one, other in zip(found_of(lane), expected(sae, x_BD, config, dead_H), strict=True):
        torch.testing.assert_close(one, other)


def test_lanes_add_up_to_the_whole() -> None:
    """Only for kinds that select row by row; `batchtopk` selects within a lane."""
    for kind in ("topk", "relu"):
        config = config_of(kind)
        sae, x_BD = random_sae(config, WIDTH), torch.randn(ROWS, WIDTH, dtype=torch.float64)
        dead_H = torch.tensor([4, 7])
        objective = Objective(config, WIDTH, "cpu")
        whole = objective.gradient(sae, x_BD, dead_H, x_BD.numel()).flat
        parts = [objective.gradient(sae, part, dead_H, x_BD.numel()).flat for part in (x_BD[:11], x_BD[11:])]
        torch.testing.assert_close((parts[0] + parts[1])[:-1], whole[:-1])  # the last is the least value


def test_the_auxiliary_loss_teaches_dead_latents_and_nothing_else() -> None:
    with_aux, without = config_of("topk", auxk_alpha=1.0), config_of("topk", auxk=0)
    sae, x_BD = random_sae(with_aux, WIDTH, 2), torch.randn(ROWS, WIDTH, dtype=torch.float64)
    sae.b_enc[[4, 9]] = -50.0  # never among the k, and far below the ReLU
    dead_H = torch.tensor([4, 9])
    one, other = (
        Objective(config, WIDTH, "cpu").gradient(sae, x_BD, dead_H, x_BD.numel()) for config in (with_aux, without)
    )
    for name, first, second in zip(NAMES, found_of(one), found_of(other), strict=True):
        touched = (first - second).reshape(len(first), -1).abs().sum(1) > 0
        assert touched.nonzero().ravel().tolist() == ([] if name == "b_dec" else [4, 9]), name
    assert not one.count_H[dead_H].any()


def test_dead_latents_are_drawn_towards_the_residual_and_not_away() -> None:
    """Where a dead pre-activation is 1 and its row 0, the decoder's gradient is −2 (x − x̂): a step goes there."""
    config = config_of("topk", auxk=1, auxk_alpha=1.0)
    sae, x_BD = random_sae(config, WIDTH, 3), torch.randn(1, WIDTH, dtype=torch.float64)
    sae.W_enc[0], sae.b_enc[0], sae.W_dec[0] = 0.0, 1.0, 0.0
    sae.b_enc[1:] += 50  # latent 0 is not among the k
    lane = Objective(config, WIDTH, "cpu").gradient(sae, x_BD, torch.tensor([0]), 1.0)
    residual_BD = x_BD - (code_of(sae, x_BD @ sae.W_enc.T + sae.b_enc) @ sae.W_dec + sae.b_dec)
    torch.testing.assert_close(lane.W_dec_HD[0], -2 * residual_BD[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_of_no_rows_adds_nothing(kind: str) -> None:
    config = config_of(kind)
    sae = random_sae(config, WIDTH, dtype=torch.float32)
    lane = Objective(config, WIDTH, "cpu").gradient(sae, torch.empty(0, WIDTH), torch.tensor([1, 2]), 10.0)
    assert not lane.flat.any()
