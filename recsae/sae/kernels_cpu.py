"""The sparse step's loops on the CPU, compiled by numba: each does in one pass what several torch operations would.

They take numpy arrays and scalars of one type, float32 or float64, and run on one thread. A code is `index_BK` (-1: no
latent) and `value_BK`. Counters are unsigned: numba then leaves out the test for negative indices, and a scan of
pre-activations runs at four elements a nanosecond instead of one. It knows arrays, and nothing of SAEs or of torch.
Shape suffixes: B activations, D their width, H latents, K places of a code, G nested prefixes.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

_FAST = {"reassoc", "contract", "arcp", "nsz"}  # not "nnan": a value that is not a number must stop a loop
_RANKED = 256
"""Candidates up to which counting who is larger beats a partition."""
_START, _LOWER, _RAISE = 3.0, 0.125, 0.01
_TRIES = 24


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def strongest(pre_BH, k, floor, index_BK, value_BK):  # type: ignore[no-untyped-def]
    """The k largest of each row that are above `floor`; of equal ones those of lower index.

    A bound, some deviations above the row's mean, leaves little more than k candidates; it follows from row to row, and
    is lowered where it left too few. So a row is read twice and nothing is sorted.
    """
    rows, latents, k = uint64(pre_BH.shape[0]), uint64(pre_BH.shape[1]), uint64(k)
    index_H, value_H = np.empty(latents + uint64(1), np.uint32), np.empty(latents + uint64(1), pre_BH.dtype)
    rank_H = np.empty(_RANKED, np.uint32)
    deviations = pre_BH.dtype.type(_START)
    for b in range(rows):
        pre_H = pre_BH[b]
        total, square = pre_BH.dtype.type(0), pre_BH.dtype.type(0)
        for h in range(latents):
            total += pre_H[h]
            square += pre_H[h] * pre_H[h]
        mean = total / pre_BH.dtype.type(latents)
        variance = square / pre_BH.dtype.type(latents) - mean * mean
        spread = np.sqrt(max(variance, pre_BH.dtype.type(0)))
        tries = 0
        while True:
            bound = max(floor, mean + deviations * spread) if tries < _TRIES else floor
            n = uint64(0)
            for h in range(latents):
                index_H[n] = h
                n += uint64(pre_H[h] > bound)
            if n >= k or not bound > floor:
                break
            deviations -= pre_BH.dtype.type(_LOWER)
            tries += 1
        if uint64(2) * n > uint64(3) * k:
            deviations += pre_BH.dtype.type(_RAISE)
        for i in range(n):
            value_H[i] = pre_H[index_H[i]]
        if n > k:
            _keep_largest(index_H, value_H, rank_H, n, k)
            n = k
        for i in range(n):
            index_BK[b, i], value_BK[b, i] = index_H[i], value_H[i]
        for i in range(n, k):
            index_BK[b, i], value_BK[b, i] = -1, 0


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def _keep_largest(index_N, value_N, rank_N, n, k):  # type: ignore[no-untyped-def]
    """Move the k largest of the first n to the front, in their order; of equal ones those that come first."""
    kept = uint64(0)
    if n <= uint64(_RANKED):
        for i in range(n):
            rank_N[i] = 0
        for j in range(n):
            value = value_N[j]
            for i in range(j):
                rank_N[i] += uint32(value > value_N[i])
            for i in range(j + uint64(1), n):
                rank_N[i] += uint32(value >= value_N[i])
        for i in range(n):
            index_N[kept], value_N[kept] = index_N[i], value_N[i]
            kept += uint64(rank_N[i] < k)
        return
    least = np.partition(value_N[:n], n - k)[n - k]
    equal = k
    for i in range(n):
        equal -= uint64(value_N[i] > least)
    for i in range(n):
        value = value_N[i]
        index_N[kept], value_N[kept] = index_N[i], value
        if value > least:
            kept += uint64(1)
        elif value == least and equal > uint64(0):
            equal -= uint64(1)
            kept += uint64(1)


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def strongest_of_batch(pre_N, take):  # type: ignore[no-untyped-def]
    """Places and values of the `take` largest positive ones of a flat batch, in order; of equal ones the first."""
    size, take = uint64(pre_N.shape[0]), uint64(take)
    total, square = pre_N.dtype.type(0), pre_N.dtype.type(0)
    for i in range(size):
        total += pre_N[i]
        square += pre_N[i] * pre_N[i]
    mean = total / pre_N.dtype.type(size)
    variance = square / pre_N.dtype.type(size) - mean * mean
    spread = np.sqrt(max(variance, pre_N.dtype.type(0)))
    place_N, zero = np.empty(size + uint64(1), np.uint32), pre_N.dtype.type(0)
    deviations, tries = pre_N.dtype.type(_START), 0
    while True:
        bound = max(zero, mean + deviations * spread) if tries < _TRIES else zero
        n = uint64(0)
        for i in range(size):
            place_N[n] = i
            n += uint64(pre_N[i] > bound)
        if n >= take or not bound > zero:
            break
        deviations -= pre_N.dtype.type(2 * _LOWER)
        tries += 1
    value_N = np.empty(n, pre_N.dtype)
    for i in range(n):
        value_N[i] = pre_N[place_N[i]]
    if n > take:
        _keep_largest(place_N, value_N, np.empty(_RANKED, np.uint32), n, take)
        n = take
    return place_N[:n].copy(), value_N[:n].copy()


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def count_above(pre_BH, threshold):  # type: ignore[no-untyped-def]
    """The most values of a row that are above the threshold."""
    most = uint64(0)
    for b in range(uint64(pre_BH.shape[0])):
        n = uint64(0)
        for h in range(uint64(pre_BH.shape[1])):
            n += uint64(pre_BH[b, h] > threshold)
        most = max(most, n)
    return most


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def above(pre_BH, threshold, index_BK, value_BK):  # type: ignore[no-untyped-def]
    """All values of each row that are above the threshold, of which there are at most K, by latent."""
    latents = uint64(pre_BH.shape[1])
    index_H = np.empty(latents + uint64(1), np.uint32)
    for b in range(uint64(pre_BH.shape[0])):
        pre_H = pre_BH[b]
        n = uint64(0)
        for h in range(latents):
            index_H[n] = h
            n += uint64(pre_H[h] > threshold)
        for i in range(n):
            index_BK[b, i], value_BK[b, i] = index_H[i], pre_H[index_H[i]]
        for i in range(n, uint64(index_BK.shape[1])):
            index_BK[b, i], value_BK[b, i] = -1, 0


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def decode(index_BK, value_BK, W_dec_HD, group_H, sum_GBD):  # type: ignore[no-untyped-def]
    """`sum_GBD[g] = Σ z W_dec` over the latents of groups 0 to g, for sums that start at 0."""
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
    """Add the gradients that pass through the chosen latents, and how often each was chosen.

    `slope_GBD[g]` is the loss's gradient with respect to the contribution `z W_dec[h]` of a latent of group g, so

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
    """One step of Adam (Kingma & Ba 2015) in place; with `unit` on the sphere that each row's unit norm is.

    The gradient's part along a row, which the norm would undo, is left out before the moments see it (Bricken et al.
    2023), and the row is brought back to unit norm after the step.
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
