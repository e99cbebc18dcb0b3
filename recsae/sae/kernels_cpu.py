"""The sparse training step on the CPU, compiled by numba: each loop does in one pass what takes torch several.

The loops take numpy arrays and scalars of one type, float32 or float64, and run on one thread. A code is `index_BK` (-1
marks an empty slot) and `value_BK`. Counters are unsigned, so that numba leaves out the test for negative indices; a
scan of pre-activations then runs at four elements per nanosecond instead of one. Shape suffixes: B activations, D their
width, H latents, K slots of a code, G nested prefixes, N values, M buffer slots for some of the values.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

_FAST = {"reassoc", "contract", "arcp", "nsz"}  # not "nnan": NaN must end a loop
_MAX_COUNTED = 256
"""Up to this many candidates, counting the larger values is faster than a partition."""
_START, _LOWER, _RAISE = 3.0, 0.125, 0.01
_TRIES = 24


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def strongest(pre_BH, k, floor, index_BK, value_BK):  # type: ignore[no-untyped-def]
    """Write the k largest values of each row that are above `floor`; ties go to the lower index."""
    latents, k = uint64(pre_BH.shape[1]), uint64(k)
    index_H, value_H = np.empty(latents + uint64(1), np.uint32), np.empty(latents + uint64(1), pre_BH.dtype)
    rank_H = np.empty(_MAX_COUNTED, np.uint32)
    deviations, lower = pre_BH.dtype.type(_START), pre_BH.dtype.type(_LOWER)
    for b in range(uint64(pre_BH.shape[0])):
        n, deviations = _largest(pre_BH[b], k, floor, deviations, lower, index_H, value_H, rank_H)
        for i in range(n):
            index_BK[b, i], value_BK[b, i] = index_H[i], value_H[i]
        for i in range(n, k):
            index_BK[b, i], value_BK[b, i] = -1, 0


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def strongest_of_batch(pre_N, take):  # type: ignore[no-untyped-def]
    """Positions and values of the `take` largest positive values of a flat batch, by position; ties go to the first."""
    size, kind = uint64(pre_N.shape[0]), pre_N.dtype.type
    position_N, value_N = np.empty(size + uint64(1), np.uint32), np.empty(size, pre_N.dtype)
    rank_N = np.empty(_MAX_COUNTED, np.uint32)
    n, _ = _largest(pre_N, uint64(take), kind(0), kind(_START), kind(2 * _LOWER), position_N, value_N, rank_N)
    return position_N[:n].copy(), value_N[:n].copy()


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def _largest(value_N, k, floor, deviations, lower, position_M, selected_M, rank_M):  # type: ignore[no-untyped-def]
    """Write positions and values of the k largest above `floor`, by position; return their number and the next bound.

    The bound, some standard deviations above the mean, leaves slightly more than k candidates. It is lowered if it left
    too few, and raised a little for the next call if it left too many. Values are read twice and nothing is sorted.
    """
    size = uint64(value_N.shape[0])
    total, square = value_N.dtype.type(0), value_N.dtype.type(0)
    for i in range(size):
        total += value_N[i]
        square += value_N[i] * value_N[i]
    mean = total / value_N.dtype.type(size)
    variance = square / value_N.dtype.type(size) - mean * mean
    spread = np.sqrt(max(variance, value_N.dtype.type(0)))
    tries = 0
    while True:
        bound = max(floor, mean + deviations * spread) if tries < _TRIES else floor
        n = _positions_above(value_N, bound, position_M)
        if n >= k or not bound > floor:
            break
        deviations -= lower
        tries += 1
    if uint64(2) * n > uint64(3) * k:
        deviations += value_N.dtype.type(_RAISE)
    for i in range(n):
        selected_M[i] = value_N[position_M[i]]
    if n > k:
        _keep_largest(position_M, selected_M, rank_M, n, k)
        n = k
    return n, deviations


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def _positions_above(value_N, bound, position_M):  # type: ignore[no-untyped-def]
    """Write the positions of all values above the bound, in order; return their number.

    Without a branch the loop runs at memory bandwidth; it writes one slot past the last position.
    """
    n = uint64(0)
    for i in range(uint64(value_N.shape[0])):
        position_M[n] = i
        n += uint64(value_N[i] > bound)
    return n


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def _keep_largest(index_N, value_N, rank_N, n, k):  # type: ignore[no-untyped-def]
    """Move the k largest of the first n to the front, in their order; ties go to the first."""
    slot = uint64(0)
    if n <= uint64(_MAX_COUNTED):
        for i in range(n):
            rank_N[i] = 0
        for j in range(n):
            value = value_N[j]
            for i in range(j):
                rank_N[i] += uint32(value > value_N[i])
            for i in range(j + uint64(1), n):
                rank_N[i] += uint32(value >= value_N[i])
        for i in range(n):
            index_N[slot], value_N[slot] = index_N[i], value_N[i]
            slot += uint64(rank_N[i] < k)
        return
    least = np.partition(value_N[:n], n - k)[n - k]
    equal = k
    for i in range(n):
        equal -= uint64(value_N[i] > least)
    for i in range(n):
        value = value_N[i]
        index_N[slot], value_N[slot] = index_N[i], value
        if value > least:
            slot += uint64(1)
        elif value == least and equal > uint64(0):
            equal -= uint64(1)
            slot += uint64(1)


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def count_above(pre_BH, threshold):  # type: ignore[no-untyped-def]
    """The largest number of values above the threshold in one row."""
    count = uint64(0)
    for b in range(uint64(pre_BH.shape[0])):
        n = uint64(0)
        for h in range(uint64(pre_BH.shape[1])):
            n += uint64(pre_BH[b, h] > threshold)
        count = max(count, n)
    return count


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def above(pre_BH, threshold, index_BK, value_BK):  # type: ignore[no-untyped-def]
    """Write all values of each row above the threshold, at most K, by latent."""
    index_H = np.empty(uint64(pre_BH.shape[1]) + uint64(1), np.uint32)
    for b in range(uint64(pre_BH.shape[0])):
        n = _positions_above(pre_BH[b], threshold, index_H)
        for i in range(n):
            index_BK[b, i], value_BK[b, i] = index_H[i], pre_BH[b, index_H[i]]
        for i in range(n, uint64(index_BK.shape[1])):
            index_BK[b, i], value_BK[b, i] = -1, 0


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def decode(index_BK, value_BK, W_dec_HD, group_H, sum_GBD):  # type: ignore[no-untyped-def]
    """Add `Σ z W_dec` over the latents of groups 0 to g to `sum_GBD[g]`, which must be 0 at the start."""
    groups, width = uint64(sum_GBD.shape[0]), uint64(sum_GBD.shape[2])
    for b in range(uint64(index_BK.shape[0])):
        for i in range(uint64(index_BK.shape[1])):
            if index_BK[b, i] < 0:
                continue
            h, z = uint64(index_BK[b, i]), value_BK[b, i]
            row_D, sum_D = W_dec_HD[h], sum_GBD[group_H[h], b]
            for d in range(width):
                sum_D[d] += z * row_D[d]
        for g in range(uint64(1), groups):
            before_D, sum_D = sum_GBD[g - uint64(1), b], sum_GBD[g, b]
            for d in range(width):
                sum_D[d] += before_D[d]


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def accumulate(  # type: ignore[no-untyped-def]
    index_BK, value_BK, x_BD, slope_GBD, group_H, W_dec_HD, l1, dW_enc_HD, db_enc_H, dW_dec_HD, count_H
):
    """Add the gradients through the selected latents, and the number of activations that selected each.

    `slope_GBD[g]` is the gradient of the loss with respect to the contribution `z W_dec[h]` of a latent of group g, so

        ∂z = slope · W_dec[h] + l1        ∂W_dec[h] += z slope        ∂W_enc[h] += ∂z x        ∂b_enc[h] += ∂z
    """
    width = uint64(x_BD.shape[1])
    for b in range(uint64(index_BK.shape[0])):
        x_D = x_BD[b]
        for i in range(uint64(index_BK.shape[1])):
            if index_BK[b, i] < 0:
                continue
            h, z = uint64(index_BK[b, i]), value_BK[b, i]
            slope_D, row_D = slope_GBD[group_H[h], b], W_dec_HD[h]
            dz = l1
            for d in range(width):
                dz += slope_D[d] * row_D[d]
            dW_dec_D, dW_enc_D = dW_dec_HD[h], dW_enc_HD[h]
            for d in range(width):
                dW_dec_D[d] += z * slope_D[d]
                dW_enc_D[d] += dz * x_D[d]
            db_enc_H[h] += dz
            count_H[h] += 1


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def adam(  # type: ignore[no-untyped-def]
    weight_RD, gradient_RD, first_RD, second_RD, rate, decay1, decay2, correction1, correction2, epsilon, unit
):
    """Take one step of Adam (Kingma & Ba 2015) in place; `unit` keeps rows on the unit sphere.

    The gradient's component along a row, which normalisation would undo, is removed before the moments are updated
    (Bricken et al. 2023), and the row is normalised after the step.
    """
    one, width = weight_RD.dtype.type(1), uint64(weight_RD.shape[1])
    for r in range(uint64(weight_RD.shape[0])):
        weight_D, gradient_D, first_D, second_D = weight_RD[r], gradient_RD[r], first_RD[r], second_RD[r]
        along = weight_RD.dtype.type(0)
        if unit:
            for d in range(width):
                along += weight_D[d] * gradient_D[d]
        square = weight_RD.dtype.type(0)
        for d in range(width):
            slope = gradient_D[d] - along * weight_D[d]
            first_D[d] = decay1 * first_D[d] + (one - decay1) * slope
            second_D[d] = decay2 * second_D[d] + (one - decay2) * slope * slope
            weight_D[d] -= rate * (first_D[d] / correction1) / (np.sqrt(second_D[d] / correction2) + epsilon)
            square += weight_D[d] * weight_D[d]
        if unit:
            scale = one / np.sqrt(square)
            for d in range(width):
                weight_D[d] *= scale
