"""Operations on latents: what each does to the vector, that nothing leaves it to the bit, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from recsae.errors import BadInput
from recsae.sae.model import Sae
from recsae.steering.operations import Operation, Steering, dense

WIDTH, LATENTS = 16, 40


@pytest.fixture(scope="module")
def sae() -> Sae:
    torch.manual_seed(0)
    sae = Sae(WIDTH, LATENTS, "topk", 4)
    sae.mean_D.copy_(torch.randn(WIDTH))
    sae.scale.copy_(torch.tensor(2.5))
    sae.b_enc.data.normal_(std=0.1)
    sae.b_dec.data.normal_(std=0.1)
    return sae.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def x_BD() -> torch.Tensor:
    return torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(1)) * 2.5


def activation(sae: Sae, x_BD: torch.Tensor, latent: int) -> torch.Tensor:
    return dense(sae.encode(x_BD), torch.tensor([latent]), LATENTS)[:, 0]


def test_no_operation_is_the_clean_vector_to_the_bit(sae: Sae, x_BD: torch.Tensor) -> None:
    assert torch.equal(Steering(sae, ())(x_BD), x_BD)
    assert torch.equal(Steering(sae, [Operation(3, "add", 0.0), Operation(4, "scale", 1.0)])(x_BD), x_BD)


def test_ablation_moves_only_where_the_latent_fires(sae: Sae, x_BD: torch.Tensor) -> None:
    z_B = activation(sae, x_BD, 3)
    after_BD = Steering(sae, [Operation(3, "ablate")])(x_BD)
    assert 0 < (z_B > 0).sum() < len(z_B)
    assert torch.equal(after_BD[z_B == 0], x_BD[z_B == 0])
    torch.testing.assert_close(x_BD - after_BD, sae.scale * z_B[:, None] * sae.W_dec[3])


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        (Operation(5, "add", -1.5), lambda z: torch.full_like(z, -1.5)),
        (Operation(5, "set", 2.0), lambda z: 2.0 - z),
        (Operation(5, "scale", 3.0), lambda z: 2.0 * z),
    ],
)
def test_each_operation_is_its_formula(sae: Sae, x_BD: torch.Tensor, operation: Operation, change) -> None:  # type: ignore[no-untyped-def]
    wanted_BD = x_BD + sae.scale * change(activation(sae, x_BD, 5))[:, None] * sae.W_dec[5]
    torch.testing.assert_close(Steering(sae, [operation])(x_BD), wanted_BD)


def test_several_at_once_add_up(sae: Sae, x_BD: torch.Tensor) -> None:
    both = [Operation(5, "add", 1.0), Operation(9, "ablate")]
    apart_BD = sum(Steering(sae, [one]).shift(x_BD) for one in both)
    torch.testing.assert_close(Steering(sae, both).shift(x_BD), apart_BD)


def test_projection_leaves_nothing_along_the_directions(sae: Sae, x_BD: torch.Tensor) -> None:
    after_BD = Steering(sae, [Operation(2, "project"), Operation(7, "project")])(x_BD)
    along_BS = (after_BD - sae.mean_D) @ sae.W_dec[[2, 7]].T
    assert along_BS.abs().max() < 1e-4 < ((x_BD - sae.mean_D) @ sae.W_dec[[2, 7]].T).abs().max()
    torch.testing.assert_close(Steering(sae, [Operation(2, "project")])(after_BD), after_BD)


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ([Operation(LATENTS, "ablate")], f"latent {LATENTS} is none of the SAE's; give one from 0 to {LATENTS - 1}"),
        ([Operation(-1, "ablate")], "latent -1"),
        ([Operation(1, "add", math.nan)], "the strength of latent 1 is nan; give a finite number"),
        ([Operation(1, "set", math.inf)], "finite"),
        ([Operation(1, "add", -1e39)], "the strength of latent 1 is -1e\\+39; give one of at most 1,000,000"),
        ([Operation(1, "add", 1.0), Operation(1, "ablate")], "latent 1 is named by two operations"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(sae: Sae, operations: list[Operation], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Steering(sae, operations)
