"""The sparse step's operations on the CPU against plain torch: exact selection, sums, and Adam."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba import types
from numba.core.dispatcher import Dispatcher
from torch import Tensor

from recsae.sae import kernels, kernels_cpu
from recsae.sae.kernels import Code, Gradient
from tests.sae.dense import largest

WIDTHS = (1, 2, 7, 64, 255, 256, 257, 1000, 3000)
SPREADS = ("normal", "whole", "negative", "zero", "constant", "shifted", "heavy", "few")
INFINITE, NAN = float("inf"), float("nan")
ROWS = 12


def spread_of(name: str, rows: int, latents: int, seed: int = 0) -> Tensor:
    """Pre-activations `(rows, latents)` of a kind that a bound some deviations above the mean may find hard."""
    draw = np.random.default_rng(seed)
    normal, of_row = draw.normal(size=(rows, latents)), draw.normal(size=(rows, 1))
    return torch.from_numpy(
        {
            "normal": normal,
            "whole": np.round(normal * 2),  # many are equal
            "negative": -np.abs(normal),
            "zero": np.zeros_like(normal),
            "constant": np.repeat(of_row, latents, 1),  # each row's spread is 0, or what rounding makes of it
            "shifted": normal / 1000 + 1000 * of_row,  # in float32 the variance is lost
            "heavy": np.exp(3 * normal),
            "few": np.where(draw.random(normal.shape) < 0.9, 0, normal) * np.exp(5 * of_row),
        }[name]
    )


def expected(pre_BH: Tensor, k: int, floor: float) -> list[dict[int, float]]:
    """Value by latent, of each row, by a stable sort."""
    value_BH, index_BH = pre_BH.sort(dim=1, descending=True, stable=True)
    pairs = zip(index_BH[:, :k].tolist(), value_BH[:, :k].tolist(), strict=True)
    return [{h: z for h, z in zip(*row, strict=True) if z > floor} for row in pairs]


def found(code: Code) -> list[dict[int, float]]:
    """Value by latent, of each row; no latent occurs twice, and unused slots are -1 and 0."""
    assert code.index_BK.dtype == torch.int32 and code.index_BK.shape == code.value_BK.shape
    assert (code.value_BK[code.index_BK < 0] == 0).all() and (code.index_BK >= -1).all()
    rows = []
    for index_K, value_K in zip(code.index_BK.tolist(), code.value_BK.tolist(), strict=True):
        row = {h: z for h, z in zip(index_K, value_K, strict=True) if h >= 0}
        assert len(row) == sum(h >= 0 for h in index_K)
        rows.append(row)
    return rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", SPREADS)
def test_the_strongest_are_those_of_a_stable_sort(spread: str, dtype: torch.dtype) -> None:
    for latents in WIDTHS:
        pre_BH = spread_of(spread, ROWS, latents, latents).to(dtype)
        for k in sorted({1, 2, latents // 8, latents // 2, latents - 1, latents} - {0}):
            for floor in (0.0, -INFINITE, 0.5):
                code = kernels.strongest(pre_BH, min(k, latents), floor)
                assert code.value_BK.dtype == dtype and code.value_BK.shape == (ROWS, min(k, latents))
                assert found(code) == expected(pre_BH, k, floor), (latents, k, floor)


@pytest.mark.parametrize("k", [1, 8, 300])
def test_the_rows_before_change_nothing(k: int) -> None:
    """The bound carries over from row to row; the selected latents must not depend on it."""
    latents = 700
    pre_BH = torch.cat([spread_of(name, ROWS, latents, 3).float() for name in SPREADS])
    together = found(kernels.strongest(pre_BH, k))
    assert together == expected(pre_BH, k, 0.0)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(pre_BH))
        shuffled = found(kernels.strongest(pre_BH[order], k))
        assert [shuffled[place] for place in np.argsort(order)] == together
    assert [found(kernels.strongest(row[None], k))[0] for row in pre_BH] == together


@pytest.mark.parametrize("floor", [0.0, -INFINITE])
@pytest.mark.parametrize(
    "odd", [[NAN], [INFINITE], [-INFINITE], [INFINITE, -INFINITE], [NAN, INFINITE, INFINITE], [3e38, 3e38], [1e20]]
)
def test_values_beyond_all_bounds_cost_no_other_row_its_choice(odd: list[float], floor: float) -> None:
    """Infinity is the largest, NaN is never selected, and the squares of 1e20 are not finite."""
    latents, k = 600, 5
    pre_BH = spread_of("normal", 4, latents).float()
    pre_BH[1, 7 : 7 + len(odd)] = torch.tensor(odd)
    pre_BH[2] = odd[0]
    sorts = pre_BH.nan_to_num(nan=-INFINITE, posinf=INFINITE, neginf=-INFINITE)
    assert found(kernels.strongest(pre_BH, k, floor)) == expected(sorts, k, floor)
    assert of_batch(pre_BH, k) == expected_of_batch(sorts, k)
    assert found(kernels.above(pre_BH, 1.0)) == expected(sorts, latents, 1.0)


def test_more_places_than_latents_stay_empty() -> None:
    pre_BH = spread_of("normal", ROWS, 5)
    code = kernels.strongest(pre_BH, 9)
    assert code.index_BK.shape == (ROWS, 9) and found(code) == expected(pre_BH, 5, 0.0)


def of_batch(pre_BH: Tensor, k: int) -> list[dict[int, float]]:
    code = kernels.strongest_of_batch(pre_BH, k)
    rows = found(code)
    assert code.value_BK.dtype == pre_BH.dtype
    assert code.index_BK.shape[1] == max([1, *(len(row) for row in rows)])
    return rows


def expected_of_batch(pre_BH: Tensor, k: int) -> list[dict[int, float]]:
    chosen_BH = largest(pre_BH.reshape(-1), len(pre_BH) * k).view_as(pre_BH) & (pre_BH > 0)
    return [
        {h: float(pre_H[h]) for h in chosen_H.nonzero().ravel().tolist()}
        for pre_H, chosen_H in zip(pre_BH, chosen_BH, strict=True)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", SPREADS)
def test_the_strongest_of_a_batch_are_those_of_one_stable_sort(spread: str, dtype: torch.dtype) -> None:
    for rows, latents in ((1, 1), (1, 40), (5, 3), (9, 257), (40, 100)):
        pre_BH = spread_of(spread, rows, latents, rows).to(dtype)
        for k in sorted({1, max(1, latents // 20), latents // 2, latents} - {0}):
            assert of_batch(pre_BH, k) == expected_of_batch(pre_BH, k), (rows, latents, k)


def test_a_batch_may_have_fewer_positives_than_asked_for_and_rows_without_any() -> None:
    pre_BH = torch.full((4, 50), -1.0)
    pre_BH[1, 3:20] = 2.0
    pre_BH[3, 9] = 1.0
    assert of_batch(pre_BH, 10) == [{}, dict.fromkeys(range(3, 20), 2.0), {}, {9: 1.0}]
    assert of_batch(pre_BH, 3) == [{}, dict.fromkeys(range(3, 15), 2.0), {}, {}], "of equal ones the first of the batch"
    assert of_batch(torch.full((4, 50), -1.0), 10) == [{}] * 4


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("threshold", [0.0, 0.7, -1.0, 1e9])
def test_above_a_threshold_are_all_and_no_others(spread: str, threshold: float) -> None:
    for dtype in (torch.float32, torch.float64):
        pre_BH = spread_of(spread, ROWS, 300).to(dtype)
        code = kernels.above(pre_BH, threshold)
        assert found(code) == expected(pre_BH, 300, threshold) and code.value_BK.dtype == dtype
        assert code.index_BK.shape[1] == max(1, int((pre_BH > threshold).sum(1).max()))


def test_of_no_rows_nothing_is_chosen() -> None:
    nobody = torch.empty(0, 6)
    assert kernels.strongest(nobody, 2).index_BK.shape == (0, 2)
    assert kernels.strongest_of_batch(nobody, 2).index_BK.shape == (0, 1)
    assert kernels.above(nobody, 0.0).index_BK.shape == (0, 1)


def a_code(rows: int, latents: int, places: int, seed: int = 0) -> Code:
    """Different latents of each row, about a third of the slots unused."""
    draw = np.random.default_rng(seed)
    index = np.argsort(draw.random((rows, latents)), axis=1)[:, :places].astype(np.int32)
    unused = draw.random(index.shape) < 0.3
    value = np.where(unused, 0, draw.normal(size=index.shape))
    return Code(torch.from_numpy(np.where(unused, -1, index).astype(np.int32)), torch.from_numpy(value))


@pytest.mark.parametrize("bounds", [[20], [3, 9, 20], [1, 2, 4, 8, 20]])
def test_decoding_sums_the_latents_of_each_prefix(bounds: list[int]) -> None:
    rows, latents, width = 15, 20, 6
    code = a_code(rows, latents, 8)
    z_BH = torch.zeros(rows, latents, dtype=torch.float64)
    for b, row in enumerate(found(code)):
        for h, z in row.items():
            z_BH[b, h] = z
    W_dec_HD = torch.randn(latents, width, dtype=torch.float64)
    group_H = torch.searchsorted(torch.tensor(bounds), torch.arange(latents), right=True)
    sum_GBD = kernels.decode(code, W_dec_HD, group_H, len(bounds))
    assert sum_GBD.shape == (len(bounds), rows, width)
    for g, bound in enumerate(bounds):
        torch.testing.assert_close(sum_GBD[g], z_BH[:, :bound] @ W_dec_HD[:bound])


def test_gradients_are_added_to_what_is_there() -> None:
    """Their values are tested in test_loss.py."""
    rows, latents, width = 15, 20, 6
    code, group_H = a_code(rows, latents, 8), torch.zeros(latents, dtype=torch.long)
    x_BD, slope_GBD, W_dec_HD = (torch.randn(shape, dtype=torch.float64) for shape in ((15, 6), (1, 15, 6), (20, 6)))

    def into(start: float) -> Gradient:
        shapes = ((latents, width), (latents,), (latents, width), (latents,))
        sums = Gradient(*(torch.full(shape, start, dtype=torch.float64) for shape in shapes))
        kernels.accumulate(code, x_BD, slope_GBD, group_H, W_dec_HD, 0.1, sums)
        return sums

    for fresh, onto in zip(into(0.0), into(3.0), strict=True):
        assert fresh.any()
        torch.testing.assert_close(fresh + 3, onto)


RATES = [1e-2 / (1 + step % 7) for step in range(300)]


def test_adam_is_that_of_torch() -> None:
    torch.manual_seed(0)
    weight_RD = torch.randn(9, 5, dtype=torch.float64)
    theirs = weight_RD.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs])
    moments = (torch.zeros_like(weight_RD), torch.zeros_like(weight_RD))
    for step, rate in enumerate(RATES):
        gradient_RD = torch.randn(9, 5, dtype=torch.float64) * 10.0 ** (step % 5 - 2)
        gradient_RD[step % 9] = 0
        kernels.adam(weight_RD, gradient_RD, moments, rate, step + 1, unit=False)
        theirs.grad, optimiser.param_groups[0]["lr"] = gradient_RD, rate
        optimiser.step()
        torch.testing.assert_close(weight_RD, theirs.detach(), rtol=1e-12, atol=1e-14)


def test_adam_on_the_sphere_leaves_out_what_the_norm_would_undo() -> None:
    torch.manual_seed(1)
    weight_RD = torch.nn.functional.normalize(torch.randn(9, 5, dtype=torch.float64), dim=1)
    plain_RD, first_RD, second_RD = weight_RD.clone(), torch.zeros(9, 5).double(), torch.zeros(9, 5).double()
    moments = (torch.zeros_like(weight_RD), torch.zeros_like(weight_RD))
    for step, rate in enumerate(RATES, 1):
        gradient_RD = torch.randn(9, 5, dtype=torch.float64)
        given_RD = gradient_RD.clone()
        kernels.adam(weight_RD, gradient_RD, moments, rate, step, unit=True)
        assert torch.equal(gradient_RD, given_RD)
        across_RD = gradient_RD - (gradient_RD * plain_RD).sum(1, keepdim=True) * plain_RD
        first_RD = 0.9 * first_RD + 0.1 * across_RD
        second_RD = 0.999 * second_RD + 0.001 * across_RD.square()
        plain_RD = plain_RD - rate * (first_RD / (1 - 0.9**step)) / ((second_RD / (1 - 0.999**step)).sqrt() + 1e-8)
        plain_RD = plain_RD / plain_RD.norm(dim=1, keepdim=True)
        torch.testing.assert_close(weight_RD, plain_RD, rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(weight_RD.norm(dim=1), torch.ones(9).double(), rtol=1e-14, atol=0)


def floats_of(kind: types.Type) -> set[str]:
    plain = kind.dtype if isinstance(kind, types.Array) else kind
    return {str(plain)} if isinstance(plain, types.Float) else set()


def test_nothing_is_computed_in_another_type_than_its_own() -> None:
    """A Python float among the arguments would make float32 loops compute in float64, at half the speed."""
    latents, width = 20, 6
    group_H = torch.zeros(latents, dtype=torch.long)
    for dtype in (torch.float32, torch.float64):
        W_HD, x_BD = torch.randn(latents, width, dtype=dtype), torch.randn(9, width, dtype=dtype)
        pre_BH = x_BD @ W_HD.T
        codes = (kernels.strongest(pre_BH, 3), kernels.strongest_of_batch(pre_BH, 3), kernels.above(pre_BH, 0.5))
        into = Gradient(*(torch.zeros_like(like) for like in (W_HD, W_HD[:, 0], W_HD, W_HD[:, 0])))
        for code in codes:
            sum_GBD = kernels.decode(code, W_HD, group_H, 1)
            kernels.accumulate(code, x_BD, sum_GBD, group_H, W_HD, 0.1, into)
            assert code.value_BK.dtype == sum_GBD.dtype == dtype
        kernels.adam(W_HD, into.W_dec_HD, (torch.zeros_like(W_HD), torch.zeros_like(W_HD)), 1e-3, 1, unit=True)
        assert {tensor.dtype for tensor in (W_HD, *into)} == {dtype}
    compiled = {name: loop for name, loop in vars(kernels_cpu).items() if isinstance(loop, Dispatcher)}
    met = {name: [set().union(*map(floats_of, types)) for types in loop.signatures] for name, loop in compiled.items()}
    assert len(met) == 10 and all(len(floats) == 1 for of_loop in met.values() for floats in of_loop), met
    assert met["strongest"] and met["adam"]
