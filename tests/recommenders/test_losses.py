"""Each loss against a direct implementation of its formula, and its gradient against autograd."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recsae.recommenders import losses
from recsae.recommenders.losses import LOSSES, gbce_beta, summed_loss

ROWS, WIDTH, POSITIONS = 20, 6, 33
NEGATIVES = [None, torch.tensor([0, 3, 3, 7, 8, 19]), torch.tensor([5])]


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    h_XD = torch.randn(POSITIONS, WIDTH, generator=draw, dtype=torch.float64, requires_grad=True)
    item_RD = torch.randn(ROWS, WIDTH, generator=draw, dtype=torch.float64, requires_grad=True)
    return h_XD, item_RD, torch.randint(0, ROWS, (POSITIONS,), generator=draw)


def plain(
    name: str,
    h_XD: Tensor,
    item_RD: Tensor,
    target_X: Tensor,
    negative_M: Tensor | None,
    correction_M: Tensor,
    beta: float,
) -> Tensor:
    """One position at a time, as the formulas in the module's docstring say."""
    every = torch.arange(ROWS) if negative_M is None else negative_M
    total = h_XD.new_zeros(())
    for h_D, target in zip(h_XD, target_X.tolist(), strict=True):
        counts = every != target
        s, n = h_D @ item_RD[target], (item_RD[every] @ h_D + correction_M)[counts]
        if name == "cross-entropy":
            total = total + torch.logsumexp(torch.cat([s[None], n]), 0) - s
        elif name == "gbce":
            total = total + beta * F.softplus(-s) + F.softplus(n).sum()
        else:
            each = F.softplus(n) if name == "bce" else F.softplus(n - s)
            total = total + (each.mean() if len(n) else 0) + (F.softplus(-s) if name == "bce" else 0)
    return total


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("negative_M", NEGATIVES)
@pytest.mark.parametrize("at_once", [1, 50, 10_000])
def test_value_and_gradient(
    name: str, negative_M: Tensor | None, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "SCORES_PER_BLOCK", at_once)
    h_XD, item_RD, target_X = tensors()
    correction_M = torch.linspace(-1, 1, ROWS if negative_M is None else len(negative_M), dtype=torch.float64)
    expected = plain(name, h_XD, item_RD, target_X, negative_M, correction_M, 0.3)
    gradients = torch.autograd.grad(expected, [h_XD, item_RD])
    found = summed_loss(name, h_XD, item_RD, target_X, negative_M, correction_M, 0.3)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(torch.autograd.grad(3 * found, [h_XD, item_RD]), gradients, strict=True):
        torch.testing.assert_close(mine, 3 * theirs)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("count", [1, 4])
def test_negatives_of_each_target_s_own(name: str, count: int) -> None:
    h_XD, item_RD, target_X = tensors()
    negative_XK = torch.randint(0, ROWS, (POSITIONS, count), generator=torch.Generator().manual_seed(2))
    assert (negative_XK == target_X[:, None]).any()
    nothing_M = torch.zeros(count, dtype=torch.float64)
    expected = sum(
        plain(name, h_XD[x : x + 1], item_RD, target_X[x : x + 1], negative_XK[x], nothing_M, 0.3)
        for x in range(POSITIONS)
    )
    gradients = torch.autograd.grad(expected, [h_XD, item_RD])
    found = summed_loss(name, h_XD, item_RD, target_X, negative_XK, None, 0.3)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(torch.autograd.grad(3 * found, [h_XD, item_RD]), gradients, strict=True):
        torch.testing.assert_close(mine, 3 * theirs)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_negative_that_is_the_target_does_not_count(name: str) -> None:
    h_XD, item_RD, _ = tensors()
    target = torch.full((POSITIONS,), 7)
    once = summed_loss(name, h_XD, item_RD, target, torch.tensor([2, 5]))
    collided = summed_loss(name, h_XD, item_RD, target, torch.tensor([2, 5, 7, 7]))
    torch.testing.assert_close(once, collided)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_only_collisions_leave_a_finite_loss(name: str) -> None:
    h_XD, item_RD, _ = tensors()
    loss = summed_loss(name, h_XD, item_RD, torch.full((POSITIONS,), 7), torch.tensor([7, 7]))
    assert torch.isfinite(loss)
    for gradient in torch.autograd.grad(loss, [h_XD, item_RD]):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_no_positions_cost_nothing(name: str) -> None:
    h_XD, item_RD, target_X = tensors()
    assert summed_loss(name, h_XD[:0], item_RD, target_X[:0], torch.tensor([1])).item() == 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_extreme_scores_stay_finite(name: str) -> None:
    h_XD, item_RD, target_X = tensors()
    loss = summed_loss(name, 1e3 * h_XD.float(), 1e2 * item_RD.float(), target_X, None)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, [h_XD, item_RD]))


@pytest.mark.slow
def test_corrected_samples_estimate_the_sum_over_the_catalogue() -> None:
    """The mean of `Σ e^(n − log M q)` over draws is `Σ e^n`, whatever q is."""
    h_XD, item_RD, target_X = tensors()
    h_XD = h_XD[:1].detach()
    share = torch.linspace(1, 5, ROWS, dtype=torch.float64)
    share = share / share.sum()
    draw, m, sums = torch.Generator().manual_seed(1), 8, []
    s = (h_XD[0] @ item_RD[target_X[0]]).detach()
    for _ in range(4000):
        negative_M = torch.multinomial(share, m, replacement=True, generator=draw).sort().values
        loss = summed_loss("cross-entropy", h_XD, item_RD, target_X[:1], negative_M, -torch.log(m * share[negative_M]))
        sums.append(math.exp(loss.item() + s.item()) - math.exp(s.item()))
    others = torch.arange(ROWS) != target_X[0]
    exact = (item_RD[others] @ h_XD[0]).exp().sum().item()
    assert sum(sums) / len(sums) == pytest.approx(exact, rel=0.05)


def test_beta_of_gbce() -> None:
    assert gbce_beta(100, 1001, 0.0) == pytest.approx(1.0)  # α/α: plain BCE
    assert gbce_beta(100, 1001, 1.0) == pytest.approx(0.1)  # α: calibrated
    assert gbce_beta(100, 1001, 0.75) == pytest.approx(0.1 * (0.75 * (1 - 10) + 10))
    assert gbce_beta(5000, 1001, 0.75) == pytest.approx(1.0)
