"""The sparse training step on CUDA, in Triton: the same functions as kernels_cpu.py.

The order of every sum depends on the shapes and the code alone. Floats are never added atomically, so a step gives the
same bits whenever it is repeated on one kind of GPU. Nothing waits for the GPU: what depends on the code (the number of
selected latents, the length of their lists) stays on the device, and grids have their largest possible size.

The kernels are checked against kernels_cpu.py in Triton's interpreter and compiled for CUDA. They have not run on a
GPU: neither speed nor block sizes are measured. Tensors must be contiguous. Latents are selected by torch's topk, a
radix selection on CUDA. Shape suffixes: B activations, D their width, H latents, K slots of a code, G nested prefixes,
N the B·K slots of a batch, A selected latents, P further parts of long lists; blocks of each likewise.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 2048
"""Elements that a program processes at a time: 16 for each of its 128 threads."""
_MAX_BLOCK = 256
_MIN_PART = 128
"""Elements of a latent's list that one program sums, so that a popular latent does not hold up the rest. If the average
list is longer, parts are as long as the average."""


def decode(index_BK: Tensor, value_BK: Tensor, W_dec_HD: Tensor, group_H: Tensor, sum_GBD: Tensor) -> None:
    """Write `Σ z W_dec` over the latents of groups 0 to g to `sum_GBD[g]`."""
    _refuse_strided(index_BK, value_BK, W_dec_HD, group_H, sum_GBD)
    groups, rows, width = sum_GBD.shape
    slots = index_BK.shape[1]
    D_BLOCK, K_BLOCK = _blocks(width, slots)
    grid = (rows, triton.cdiv(width, D_BLOCK))
    _decode[grid](
        index_BK, value_BK, W_dec_HD, group_H, sum_GBD, rows, slots, width, G=groups, D_BLOCK=D_BLOCK, K_BLOCK=K_BLOCK
    )


@triton.jit  # type: ignore[untyped-decorator]
def _decode(  # type: ignore[no-untyped-def]
    index_BK, value_BK, W_dec_HD, group_H, sum_GBD, rows, slots, width,
    G: tl.constexpr, D_BLOCK: tl.constexpr, K_BLOCK: tl.constexpr,
):  # fmt: skip
    """Decode one row and one block of its width. The sum runs on over the groups, and is stored after each."""
    b = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * D_BLOCK + tl.arange(0, D_BLOCK)
    sum_KD = tl.zeros((K_BLOCK, D_BLOCK), sum_GBD.dtype.element_ty)
    for g in range(G):
        for start in range(0, slots, K_BLOCK):
            k = start + tl.arange(0, K_BLOCK)
            h = tl.load(index_BK + b * slots + k, mask=k < slots, other=-1).to(tl.int64)
            here = h >= 0
            if G > 1:
                here = here & (tl.load(group_H + h, mask=here, other=-1) == g)
            z = tl.load(value_BK + b * slots + k, mask=here, other=0)
            both = here[:, None] & (d < width)[None, :]
            sum_KD += z[:, None] * tl.load(W_dec_HD + h[:, None] * width + d[None, :], mask=both, other=0)
        tl.store(sum_GBD + (g * rows + b) * width + d, tl.sum(sum_KD, 0), mask=d < width)


def accumulate(
    index_BK: Tensor,
    value_BK: Tensor,
    x_BD: Tensor,
    slope_GBD: Tensor,
    group_H: Tensor,
    W_dec_HD: Tensor,
    l1: float,
    dW_enc_HD: Tensor,
    db_enc_H: Tensor,
    dW_dec_HD: Tensor,
    count_H: Tensor,
) -> None:
    """Add the gradients through the selected latents, and their counts; the formulas are in kernels_cpu.py.

    Slots are sorted by latent, then by row; the slots of one latent are its list. First, the further parts of long
    lists are summed, each by its own program. Then one program per latent sums the first part of its list and adds it
    to the gradients together with the sums of the further parts.
    """
    _refuse_strided(index_BK, value_BK, x_BD, slope_GBD, group_H, W_dec_HD, dW_enc_HD, db_enc_H, dW_dec_HD, count_H)
    (rows, slots), (latents, width) = index_BK.shape, W_dec_HD.shape
    size = rows * slots
    if not size:
        return
    groups = len(slope_GBD)
    D_BLOCK, K_BLOCK = _blocks(width, slots)
    D_blocks = triton.cdiv(width, D_BLOCK)
    dz_BK = torch.empty_like(value_BK)
    _slope_of_values[rows, triton.cdiv(slots, K_BLOCK)](
        index_BK, slope_GBD, group_H, W_dec_HD, l1, dz_BK, rows, slots, width,
        G=groups, D_BLOCK=D_BLOCK, K_BLOCK=K_BLOCK,
    )  # fmt: skip

    latent_N, slot_N = index_BK.view(-1).sort(stable=True)
    steps = torch.arange(max(latents, size) + 1, device=index_BK.device, dtype=torch.int32)
    begin_H1 = torch.searchsorted(latent_N, steps[: latents + 1], out_int32=True)
    length_H = begin_H1.diff()
    count_H += length_H
    # If lists are long on average, parts are longer, so that sums of parts never need more memory than the gradients.
    part = max(_MIN_PART, triton.next_power_of_2(triton.cdiv(size, latents)))
    parts = size // part  # upper bound on the further parts of all lists together
    further_H = (length_H - 1).clamp_(min=0) // part
    after_H = further_H.cumsum(0, dtype=torch.int32)  # where the sums of a latent's further parts end
    latent_P = torch.searchsorted(after_H, steps[:parts], out_int32=True, right=True)
    # The a-th latent with a list; H beyond the last one, as in latent_P.
    latent_A = torch.searchsorted(
        (length_H > 0).cumsum(0, dtype=torch.int32), steps[1 : min(latents, size) + 1], out_int32=True
    )
    enc_PD, dec_PD, bias_P = (x_BD.new_empty(shape) for shape in ((parts, width), (parts, width), (parts,)))

    lists = (begin_H1, further_H, after_H, slot_N, value_BK, dz_BK, x_BD, slope_GBD, group_H)
    sizes = (rows, slots, latents, width, part)
    blocks = {"D_BLOCK": D_BLOCK, "N_BLOCK": max(1, _TILE // 2 // D_BLOCK)}
    if parts:
        _sum_further_part[parts, D_blocks](latent_P, *lists, enc_PD, dec_PD, bias_P, *sizes, **blocks)
    _add_latent[len(latent_A), D_blocks](
        latent_A, *lists, enc_PD, dec_PD, bias_P, dW_enc_HD, db_enc_H, dW_dec_HD, *sizes, **blocks
    )


@triton.jit  # type: ignore[untyped-decorator]
def _slope_of_values(  # type: ignore[no-untyped-def]
    index_BK, slope_GBD, group_H, W_dec_HD, l1, dz_BK, rows, slots, width,
    G: tl.constexpr, D_BLOCK: tl.constexpr, K_BLOCK: tl.constexpr,
):  # fmt: skip
    """Store `∂z = slope · W_dec[h] + l1` for one row and one block of its slots."""
    b = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * K_BLOCK + tl.arange(0, K_BLOCK)
    h = tl.load(index_BK + b * slots + k, mask=k < slots, other=-1).to(tl.int64)
    here = h >= 0
    row = tl.zeros((K_BLOCK,), tl.int64) + b
    if G > 1:
        row += tl.load(group_H + h, mask=here, other=0) * rows
    sum_KD = tl.zeros((K_BLOCK, D_BLOCK), dz_BK.dtype.element_ty)
    for start in range(0, width, D_BLOCK):
        d = start + tl.arange(0, D_BLOCK)
        both = here[:, None] & (d < width)[None, :]
        slope_KD = tl.load(slope_GBD + row[:, None] * width + d[None, :], mask=both, other=0)
        sum_KD += slope_KD * tl.load(W_dec_HD + h[:, None] * width + d[None, :], mask=both, other=0)
    tl.store(dz_BK + b * slots + k, tl.sum(sum_KD, 1) + l1, mask=here)


@triton.jit  # type: ignore[untyped-decorator]
def _sum_list(  # type: ignore[no-untyped-def]
    h, begin, end, d, slot_N, value_BK, dz_BK, x_BD, slope_GBD, group_H, rows, slots, width,
    D_BLOCK: tl.constexpr, N_BLOCK: tl.constexpr,
):  # fmt: skip
    """Return `Σ ∂z x`, `Σ z slope` and `Σ ∂z` over the sorted slots `begin` to `end`, all of latent h."""
    above = tl.load(group_H + h).to(tl.int64) * rows
    enc_ND = tl.zeros((N_BLOCK, D_BLOCK), dz_BK.dtype.element_ty)
    dec_ND = tl.zeros((N_BLOCK, D_BLOCK), dz_BK.dtype.element_ty)
    bias_N = tl.zeros((N_BLOCK,), dz_BK.dtype.element_ty)
    for start in range(begin, end, N_BLOCK):
        n = start + tl.arange(0, N_BLOCK)
        slot = tl.load(slot_N + n, mask=n < end, other=0)
        z = tl.load(value_BK + slot, mask=n < end, other=0)
        dz = tl.load(dz_BK + slot, mask=n < end, other=0)
        b = slot // slots
        both = (n < end)[:, None] & (d < width)[None, :]
        enc_ND += dz[:, None] * tl.load(x_BD + b[:, None] * width + d[None, :], mask=both, other=0)
        dec_ND += z[:, None] * tl.load(slope_GBD + (above + b)[:, None] * width + d[None, :], mask=both, other=0)
        bias_N += dz
    return tl.sum(enc_ND, 0), tl.sum(dec_ND, 0), tl.sum(bias_N, 0)


@triton.jit  # type: ignore[untyped-decorator]
def _sum_further_part(  # type: ignore[no-untyped-def]
    latent_P, begin_H1, further_H, after_H, slot_N, value_BK, dz_BK, x_BD, slope_GBD, group_H,
    enc_PD, dec_PD, bias_P, rows, slots, latents, width, part,
    D_BLOCK: tl.constexpr, N_BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum one part of a latent's list after the first, for one block of the width."""
    p = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * D_BLOCK + tl.arange(0, D_BLOCK)
    h = tl.load(latent_P + p).to(tl.int64)
    if h < latents:
        ordinal = p - tl.load(after_H + h) + tl.load(further_H + h) + 1
        begin = tl.load(begin_H1 + h) + ordinal * part
        end = tl.minimum(begin + part, tl.load(begin_H1 + h + 1))
        enc_D, dec_D, bias = _sum_list(
            h, begin, end, d, slot_N, value_BK, dz_BK, x_BD, slope_GBD, group_H, rows, slots, width, D_BLOCK, N_BLOCK
        )
        tl.store(enc_PD + p * width + d, enc_D, mask=d < width)
        tl.store(dec_PD + p * width + d, dec_D, mask=d < width)
        if tl.program_id(1) == 0:
            tl.store(bias_P + p, bias)


@triton.jit  # type: ignore[untyped-decorator]
def _add_latent(  # type: ignore[no-untyped-def]
    latent_A, begin_H1, further_H, after_H, slot_N, value_BK, dz_BK, x_BD, slope_GBD, group_H,
    enc_PD, dec_PD, bias_P, dW_enc_HD, db_enc_H, dW_dec_HD, rows, slots, latents, width, part,
    D_BLOCK: tl.constexpr, N_BLOCK: tl.constexpr,
):  # fmt: skip
    """Add one latent's gradients for one block of the width: the first part of its list, then the further parts."""
    d = tl.program_id(1) * D_BLOCK + tl.arange(0, D_BLOCK)
    h = tl.load(latent_A + tl.program_id(0)).to(tl.int64)
    if h < latents:
        begin = tl.load(begin_H1 + h)
        end = tl.minimum(begin + part, tl.load(begin_H1 + h + 1))
        enc_D, dec_D, bias = _sum_list(
            h, begin, end, d, slot_N, value_BK, dz_BK, x_BD, slope_GBD, group_H, rows, slots, width, D_BLOCK, N_BLOCK
        )
        after = tl.load(after_H + h).to(tl.int64)
        for p in range(after - tl.load(further_H + h), after):
            enc_D += tl.load(enc_PD + p * width + d, mask=d < width, other=0)
            dec_D += tl.load(dec_PD + p * width + d, mask=d < width, other=0)
            bias += tl.load(bias_P + p)
        to = h * width + d
        tl.store(dW_enc_HD + to, tl.load(dW_enc_HD + to, mask=d < width) + enc_D, mask=d < width)
        tl.store(dW_dec_HD + to, tl.load(dW_dec_HD + to, mask=d < width) + dec_D, mask=d < width)
        if tl.program_id(1) == 0:
            tl.store(db_enc_H + h, tl.load(db_enc_H + h) + bias)


def _blocks(width: int, slots: int) -> tuple[int, int]:
    D_BLOCK = min(_MAX_BLOCK, triton.next_power_of_2(width))
    return D_BLOCK, min(_TILE // D_BLOCK, triton.next_power_of_2(max(1, slots)))


def _refuse_strided(*tensors: Tensor) -> None:
    if not all(tensor.is_contiguous() for tensor in tensors):
        raise ValueError("all tensors must be contiguous, because the kernels compute addresses from shapes")
