"""Slopes: finite differences, sums over the path that equal the score, and models without a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recsae.errors import BadInput
from recsae.explain.slopes import slopes
from recsae.recommenders.base import Histories, Recommender
from tests.explain.explained_world import ITEMS, USERS, WIDTH, model_at, users


class Table(Recommender):
    """Its scores are the vector itself, after a layer that can block gradients."""

    def __init__(self, closed: bool = False, never: int | None = None) -> None:
        super().__init__(WIDTH, WIDTH, max_length=7, site="layer")
        self.closed, self.never = closed, never

    def probe(self, histories: Histories) -> Tensor:
        draw = torch.Generator().manual_seed(0)
        return torch.randn(*histories.items_BL.shape, WIDTH, generator=draw)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        if self.closed:
            with torch.no_grad():
                return h_BLD * 2
        return h_BLD * 2

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        found = u_XU[:, start:stop].clone()
        if self.never is not None and start <= self.never < stop:
            found[:, self.never - start] = -torch.inf
        return found


def asked() -> tuple[Histories, Tensor]:
    items = np.random.default_rng(0).integers(0, ITEMS, (USERS, 3))
    return users().histories, torch.from_numpy(items)


@pytest.mark.parametrize("kind", ["sasrec", "gpt"])
def test_one_point_is_the_gradient_halfway_by_finite_differences(kind: str) -> None:
    model = model_at(kind, "block-0").double()
    histories, item_BT = asked()
    h_BLD, c_D = model.probe(histories), torch.linspace(-1, 1, WIDTH, dtype=torch.float64)
    found = slopes(model, h_BLD, c_D, histories, item_BT, points=1)
    halfway_BLD = (h_BLD + c_D) / 2
    step_BLD = 1e-5 * torch.randn(h_BLD.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    either = [slopes(model, halfway_BLD + sign * step_BLD, c_D, histories, item_BT, points=1) for sign in (1, -1)]
    change_BS = either[0].score_BS - either[1].score_BS
    expected_BS = 2 * (found.slope_SBLD * step_BLD).sum((2, 3)).T
    torch.testing.assert_close(change_BS, expected_BS, rtol=1e-5, atol=1e-12)
    assert change_BS.abs().min() > 1e-8
    # Padding has no effect and no gradient.
    length_B = histories.length_B.tolist()
    assert all((found.slope_SBLD[:, row, length:] == 0).all() for row, length in enumerate(length_B))


def test_with_many_points_slopes_sum_to_the_score_difference() -> None:
    model = model_at("gpt", "block-0").double()
    histories, item_BT = asked()
    h_BLD, c_D = model.probe(histories), torch.linspace(-1, 1, WIDTH, dtype=torch.float64)
    left = []
    for points in (1, 4, 32):
        found = slopes(model, h_BLD, c_D, histories, item_BT, points)
        through_BS = (found.slope_SBLD * (h_BLD - c_D)).sum((2, 3)).T
        left.append(float((found.score_BS - found.bias_BS - through_BS).abs().mean()))
    assert left[0] > left[1] > left[2] and left[2] < 1e-3 * float((found.score_BS - found.bias_BS).abs().mean())


def test_the_last_column_is_the_mean_over_recommendable_items() -> None:
    histories, _ = asked()
    model = Table(never=3)
    item_BT = torch.tensor([[0, 3]]).expand(USERS, -1)
    h_BLD = model.probe(histories)
    found = slopes(model, h_BLD, torch.zeros(WIDTH), histories, item_BT)
    last_BD = h_BLD[torch.arange(USERS), histories.length_B - 1]
    kept = [item for item in range(WIDTH) if item != 3]
    torch.testing.assert_close(found.score_BS[:, 2], 2 * last_BD[:, kept].mean(1))
    assert (found.score_BS[:, 1] == -torch.inf).all() and found.slope_SBLD.isfinite().all()
    assert (found.slope_SBLD[1] == 0).all()
    at = histories.length_B[0] - 1
    torch.testing.assert_close(found.slope_SBLD[0, 0, at], 2 * torch.eye(WIDTH)[0])


def test_a_model_without_a_gradient_is_an_error() -> None:
    histories, item_BT = asked()
    model = Table(closed=True)
    with pytest.raises(BadInput, match=r"^probe\.site = layer: no gradient flows back .*no_grad") as caught:
        slopes(model, model.probe(histories), torch.zeros(WIDTH), histories, item_BT % WIDTH)
    assert "\n" not in str(caught.value)
