"""Scores moved along given directions, compiled by numba: ranks and first items without a matrix of moved scores.

    s_i = base_i + c · direction_i

Every user and intervention is one pass over a range of items that stays in the cache. Products and sums are not
contracted, so that a target's score is the same to the bit wherever it is computed. Counters are as wide as scores,
which lets the loop over items run at twice the speed. It knows arrays, and nothing of models. Shape suffixes: B users,
n items of a range, M directions, E interventions, T first items, I items, C concepts, N pairs of item and concept.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

_BLOCK = 128
"""Items compared at a time with the least of the first items; nearly all blocks hold none above it."""


@njit(cache=True, fastmath={"reassoc", "nsz"}, error_model="numpy")
def rank_moved(base_Bn, direction_Mn, row_E, c_EB, target_EB, place_B, start, best_EBT, item_EBT, less_EB):  # type: ignore[no-untyped-def]
    """Take in the items `start` to `start + n`: the best items of every user and intervention so far, and how many
    score less.

    The target, at `place_B` of the range (below 0: not in it), is not counted. Intervention 0 must be the clean model:
    where another moves nothing, its results are that one's, and its first items are where the search of the others
    begins. What is out of the running has a base of minus infinity.
    """
    n, first = base_Bn.shape[1], best_EBT.shape[2]
    score_n = np.empty(n, np.float32)
    for b in range(base_Bn.shape[0]):
        for e in range(row_E.shape[0]):
            c, best_T, item_T = c_EB[e, b], best_EBT[e, b], item_EBT[e, b]
            if e > 0 and c == 0:
                best_T[:], item_T[:] = best_EBT[0, b], item_EBT[0, b]
                less_EB[e, b] = less_EB[0, b]
                continue
            direction_n, target = direction_Mn[row_E[e]], target_EB[e, b]
            if e > 0 and item_T[0] < 0:
                _begin(base_Bn[b], direction_n, c, start, item_EBT[0, b], best_T, item_T)
            known_T = item_T.copy()
            less = 0
            for begin in range(0, n, _BLOCK):
                end = min(begin + _BLOCK, n)
                least = best_T[first - 1]
                here, above = uint32(0), uint32(0)
                for i in range(uint64(begin), uint64(end)):
                    score = base_Bn[b, i] + c * direction_n[i]
                    score_n[i] = score
                    here += uint32(score < target)
                    above += uint32(score > least)
                less += here
                if above:
                    for i in range(begin, end):
                        if score_n[i] > best_T[first - 1] and not _holds(known_T, start + i):
                            _insert(best_T, item_T, score_n[i], start + i)
            if place_B[b] >= 0 and score_n[place_B[b]] < target:
                less -= 1
            less_EB[e, b] += less


@njit(cache=True, fastmath={"reassoc", "nsz"}, error_model="numpy")
def _begin(base_n, direction_n, c, start, clean_T, best_T, item_T):  # type: ignore[no-untyped-def]
    """The clean model's first items of this range, by their moved scores."""
    for item in clean_T:
        if start <= item < start + base_n.shape[0]:
            score = base_n[item - start] + c * direction_n[item - start]
            if score > best_T[best_T.shape[0] - 1]:
                _insert(best_T, item_T, score, item)


@njit(cache=True, error_model="numpy")
def _insert(best_T, item_T, score, item):  # type: ignore[no-untyped-def]
    place = best_T.shape[0] - 1
    while place > 0 and best_T[place - 1] < score:
        best_T[place], item_T[place] = best_T[place - 1], item_T[place - 1]
        place -= 1
    best_T[place], item_T[place] = score, item


@njit(cache=True, error_model="numpy")
def _holds(item_T, item):  # type: ignore[no-untyped-def]
    for known in item_T:  # noqa: SIM110  numba compiles no generator
        if known == item:
            return True
    return False


@njit(cache=True, error_model="numpy")
def tally(top_EBT, own_E, starts_I, concept_N, popularity_I, hits_EC, own_EB, popularity_E, covered_EI):  # type: ignore[no-untyped-def]
    """Add up what the first items are: places of every concept, of each intervention's own by case, popularity,
    coverage.

    Item i has the concepts `concept_N[starts_I[i]:starts_I[i + 1]]`; `covered_EI` has a bit for every item.
    """
    for e in range(top_EBT.shape[0]):
        for b in range(top_EBT.shape[1]):
            for item in top_EBT[e, b]:
                if item < 0:
                    break
                popularity_E[e] += popularity_I[item]
                covered_EI[e, item >> 3] |= np.uint8(1 << (item & 7))
                for n in range(starts_I[item], starts_I[item + 1]):
                    hits_EC[e, concept_N[n]] += 1
                    own_EB[e, b] += concept_N[n] == own_E[e]
