"""The sparse step's loops on the CPU, compiled by numba: each does in one pass what several torch operations would.

They take numpy arrays and scalars of one type, float32 or float64, and run on one thread. A code is `index_BK` (-1: no
latent) and `value_BK`. Counters are unsigned: numba then leaves out the test for negative indices, and a scan of
pre-activations runs at four elements a nanosecond instead of one. It knows arrays, and nothing of SAEs or of torch.
Shape suffixes: B activations, D their width, H latents, K places of a code, G nested prefixes, N values, M room for
some of them.
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
    """The k largest of each row that are above `floor`; of equal ones those of lower index."""
    latents, k = uint64(pre_BH.shape[1]), uint64(k)
    index_H, value_H = np.empty(latents + uint64(1), np.uint32), np.empty(latents + uint64(1), pre_BH.dtype)
    rank_H = np.empty(_RANKED, np.uint32)
    deviations, lower = pre_BH.dtype.type(_START), pre_BH.dtype.type(_LOWER)
    for b in range(uint64(pre_BH.shape[0])):
        n, deviations = _largest(pre_BH[b], k, floor, deviations, lower, index_H, value_H, rank_H)
        for i in range(n):
            index_BK[b, i], value_BK[b, i] = index_H[i], value_H[i]
        for i in range(n, k):
            index_BK[b, i], value_BK[b, i] = -1, 0


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def strongest_of_batch(pre_N, take):  # type: ignore[no-untyped-def]
    """Places and values of the `take` largest positive ones of a flat batch, in order; of equal ones the first."""
    size, kind = uint64(pre_N.shape[0]), pre_N.dtype.type
    place_N, value_N = np.empty(size + uint64(1), np.uint32), np.empty(size, pre_N.dtype)
    rank_N = np.empty(_RANKED, np.uint32)
    n, _ = _largest(pre_N, uint64(take), kind(0), kind(_START), kind(2 * _LOWER), place_N, value_N, rank_N)
    return place_N[:n].copy(), value_N[:n].copy()


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def _largest(value_N, k, floor, deviations, lower, place_M, kept_M, rank_M):  # type: ignore[no-untyped-def]
    """Write the places and values of the k largest above `floor`, in order; how many there are, and the next bound.

    A bound, some deviations above the mean, leaves little more than k candidates; it is lowered where it left too few,
    and raised a little for the next call where it left too many. So values are read twice and nothing is sorted.
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
        n = _places_above(value_N, bound, place_M)
        if n >= k or not bound > floor:
            break
        deviations -= lower
        tries += 1
    if uint64(2) * n > uint64(3) * k:
        deviations += value_N.dtype.type(_RAISE)
    for i in range(n):
        kept_M[i] = value_N[place_M[i]]
    if n > k:
        _keep_largest(place_M, kept_M, rank_M, n, k)
        n = k
    return n, deviations


@njit(fastmath=_FAST, cache=True, error_model="numpy")
def _places_above(value_N, bound, place_M):  # type: ignore[no-untyped-def]
    """Write the places of all values above the bound, in order; how many there are. No branch: it runs at memory's
    speed, and writes one place more than there are."""
    n = uint64(0)
    for i in range(uint64(value_N.shape[0])):
        place_M[n] = i
        n += uint64(value_N[i] > bound)
    return n


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
    index_H = np.empty(uint64(pre_BH.shape[1]) + uint64(1), np.uint32)
    for b in range(uint64(pre_BH.shape[0])):
        n = _places_above(pre_BH[b], threshold, index_H)
        for i in range(n):
            index_BK[b, i], value_BK[b, i] = index_H[i], pre_BH[b, index_H[i]]
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
