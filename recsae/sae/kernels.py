"""The operations of a sparse training step, one function each for all devices: numba on the CPU, Triton on CUDA.

After the encoder's product only the selected latents matter. They are selected without sorting whole rows, and both
decoding and gradients touch their weight rows only. A code is `index_BK` (int32, -1 marks an empty slot) and
`value_BK`. Shape suffixes: B activations, D their width, H latents, K slots of a code, G nested prefixes, A and N any
number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsae.sae import kernels_cpu


class Code(NamedTuple):
    """The selected latents of each activation and their pre-activations, in any order."""

    index_BK: Tensor
    value_BK: Tensor


class Gradient(NamedTuple):
    """Gradient buffers that `accumulate` adds to."""

    W_enc_HD: Tensor
    b_enc_H: Tensor
    W_dec_HD: Tensor
    count_H: Tensor
    """Number of activations that selected each latent."""


def strongest(pre_BH: Tensor, k: int, floor: float = 0.0) -> Code:
    """The k largest values of each row that are above `floor`; exact on all devices."""
    if pre_BH.is_cuda:
        value_BK, index_BK = pre_BH.topk(k, dim=1, sorted=False)
        return _masked(Code(index_BK.int(), value_BK), value_BK <= floor)
    code = _empty(pre_BH, k)
    kernels_cpu.strongest(pre_BH.numpy(), k, _scalar(floor, pre_BH), *_arrays(*code))
    return code


def strongest_of_batch(pre_BH: Tensor, k: int) -> Code:
    """The B·k largest positive values of all rows together."""
    rows, latents = pre_BH.shape
    flat_N = pre_BH.view(-1)
    if pre_BH.is_cuda:
        value_A, position_A = flat_N.topk(rows * k, sorted=False)
        position_A, order = position_A[value_A > 0].sort()
        value_A = value_A[value_A > 0][order]
    else:
        positions, values = kernels_cpu.strongest_of_batch(flat_N.numpy(), rows * k)
        position_A, value_A = torch.from_numpy(positions.astype("int64")), torch.from_numpy(values)
    row_A = position_A // latents
    count_B = torch.bincount(row_A, minlength=rows)
    code = _empty(pre_BH, max(1, int(count_B.max())) if rows else 1)
    code.index_BK.fill_(-1)
    column_A = torch.arange(len(row_A), device=row_A.device) - (count_B.cumsum(0) - count_B)[row_A]
    code.index_BK[row_A, column_A] = (position_A % latents).int()
    code.value_BK[row_A, column_A] = value_A
    return code


def above(pre_BH: Tensor, threshold: float) -> Code:
    """All values above the threshold; K is the largest number in one row, at least 1."""
    if pre_BH.is_cuda:
        most = int((pre_BH > threshold).sum(1).max()) if len(pre_BH) else 0
        value_BK, index_BK = pre_BH.topk(max(1, most), dim=1, sorted=False)
        return _masked(Code(index_BK.int(), value_BK), value_BK <= threshold)
    bound = _scalar(threshold, pre_BH)
    code = _empty(pre_BH, max(1, int(kernels_cpu.count_above(pre_BH.numpy(), bound))))
    kernels_cpu.above(pre_BH.numpy(), bound, *_arrays(*code))
    return code


def decode(code: Code, W_dec_HD: Tensor, group_H: Tensor, groups: int) -> Tensor:
    """`(G, B, D)`: for each prefix g, `Σ z W_dec` over the latents of groups 0 to g."""
    rows, width = len(code.index_BK), W_dec_HD.shape[1]
    sum_GBD = torch.zeros(groups, rows, width, dtype=W_dec_HD.dtype, device=W_dec_HD.device)
    if W_dec_HD.is_cuda:
        from recsae.sae import kernels_cuda

        kernels_cuda.decode(code.index_BK, code.value_BK, W_dec_HD, group_H, sum_GBD)
    else:
        kernels_cpu.decode(*_arrays(*code, W_dec_HD, group_H, sum_GBD))
    return sum_GBD


def accumulate(
    code: Code, x_BD: Tensor, slope_GBD: Tensor, group_H: Tensor, W_dec_HD: Tensor, l1: float, into: Gradient
) -> None:
    """Add the gradients through the selected latents to `into`; the formulas are in kernels_cpu.py."""
    if W_dec_HD.is_cuda:
        from recsae.sae import kernels_cuda

        kernels_cuda.accumulate(*code, x_BD, slope_GBD, group_H, W_dec_HD, l1, *into)
    else:
        before = _arrays(*code, x_BD, slope_GBD, group_H, W_dec_HD)
        kernels_cpu.accumulate(*before, _scalar(l1, x_BD), *_arrays(*into))


def adam(
    weight_RD: Tensor, gradient_RD: Tensor, moments: tuple[Tensor, Tensor], rate: float, step: int, unit: bool
) -> None:
    """Take Adam's step number `step` (from 1) in place; `unit` keeps rows at unit norm."""
    decay1, decay2, epsilon = 0.9, 0.999, 1e-8
    correction1, correction2 = 1 - decay1**step, 1 - decay2**step
    if not weight_RD.is_cuda:
        numbers = (rate, decay1, decay2, correction1, correction2, epsilon)
        scalars = [_scalar(number, weight_RD) for number in numbers]
        kernels_cpu.adam(*_arrays(weight_RD, gradient_RD, *moments), *scalars, unit)
        return
    first_RD, second_RD = moments
    if unit:
        gradient_RD = gradient_RD - (gradient_RD * weight_RD).sum(1, keepdim=True) * weight_RD
    first_RD.lerp_(gradient_RD, 1 - decay1)
    second_RD.mul_(decay2).addcmul_(gradient_RD, gradient_RD, value=1 - decay2)
    weight_RD.addcdiv_(first_RD, (second_RD / correction2).sqrt_().add_(epsilon), value=-rate / correction1)
    if unit:
        weight_RD.div_(weight_RD.norm(dim=1, keepdim=True))


def _empty(pre_BH: Tensor, slots: int) -> Code:
    rows = len(pre_BH)
    index_BK = torch.empty(rows, slots, dtype=torch.int32, device=pre_BH.device)
    return Code(index_BK, torch.zeros(rows, slots, dtype=pre_BH.dtype, device=pre_BH.device))


def _masked(code: Code, inactive_BK: Tensor) -> Code:
    return Code(code.index_BK.masked_fill(inactive_BK, -1), code.value_BK.masked_fill(inactive_BK, 0))


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in tensors]


def _scalar(number: float, like: Tensor) -> Any:
    """A numpy scalar of the tensor's type; with a Python float numba would compute in float64."""
    return torch.tensor(number, dtype=like.dtype).numpy()[()]
