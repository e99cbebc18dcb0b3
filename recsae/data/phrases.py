"""Phrases of titles: runs of words that occur together more often than chance, by log-likelihood ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from scipy.stats import chi2

LONGEST = 6
"""Words of a phrase, stop words within it included: `Diary of a Wimpy Kid`. Fewer would show windows of long ones."""
SIGNIFICANCE = 0.01
"""Chance that any run of independent words is taken for a phrase (Bonferroni)."""


@dataclass(frozen=True)
class Runs:
    """Every run of `n` words that occurs often enough, within what punctuation parts."""

    run_T: np.ndarray
    """The number of the run that begins at each word of the text, or -1."""
    count_R: np.ndarray
    """How often each run occurs."""
    first_R: np.ndarray
    """Where each run occurs first."""


def phrases(
    word_T: np.ndarray, begins_T: np.ndarray, may_begin_T: np.ndarray, may_end_T: np.ndarray, min_count: int
) -> list[tuple[int, np.ndarray]]:
    """Significant runs: for each its number of words and the positions where it begins.

    `word_T` numbers the words of all titles in a row, and `begins_T` marks those that begin a new title or part of one.
    A phrase begins and ends only where `may_begin_T` and `may_end_T` allow it, as stop words do not. A run is a phrase
    if at each place where it can be cut in two the parts occur together significantly often.
    """
    runs = {1: _single(word_T, min_count)}
    found = []
    for length in range(2, LONGEST + 1):
        runs[length] = _lengthen(runs[length - 1], runs[1], begins_T, length, min_count)
        of_this_length = runs[length]
        first_R = of_this_length.first_R
        place = np.flatnonzero(of_this_length.run_T >= 0)
        place = place[may_begin_T[place] & may_end_T[place + length - 1]]
        candidate_R = np.bincount(of_this_length.run_T[place], minlength=len(first_R)) >= min_count
        ratio_R = np.full(len(first_R), np.inf)
        for cut in range(1, length):
            left, right = runs[cut], runs[length - cut]
            left_R = left.count_R[left.run_T[first_R]]
            right_R = right.count_R[right.run_T[first_R + cut]]
            ratio_R = np.minimum(ratio_R, log_likelihood_ratio(of_this_length.count_R, left_R, right_R, len(word_T)))
        threshold = chi2.isf(SIGNIFICANCE / max(int(candidate_R.sum()), 1), 1)
        accepted = np.flatnonzero(candidate_R & (ratio_R > threshold))
        order = place[np.argsort(of_this_length.run_T[place], kind="stable")]
        bounds = np.searchsorted(of_this_length.run_T[order], [accepted, accepted + 1])
        found += [(length, order[start:end]) for start, end in bounds.T.tolist()]
    return found


def log_likelihood_ratio(both_R: np.ndarray, left_R: np.ndarray, right_R: np.ndarray, total: int) -> np.ndarray:
    """Dunning's G² (1993) of each pair of parts, negative where they occur together less often than by chance.

    `both_R` counts the pairs, `left_R` and `right_R` their parts, among `total` words.
    """
    counts = np.stack([both_R, left_R - both_R, right_R - both_R, total - left_R - right_R + both_R]).astype(float)
    counts = np.maximum(counts, 0)
    left, right = left_R / total, right_R / total
    expected = total * np.stack([left * right, left * (1 - right), (1 - left) * right, (1 - left) * (1 - right)])
    ratio_R = 2 * (xlogy(counts, counts) - xlogy(counts, np.maximum(expected, 1e-300))).sum(0)
    return np.where(counts[0] > expected[0], ratio_R, -ratio_R)


def parts(phrase: Sequence[str]) -> set[tuple[str, ...]]:
    """All shorter runs of a phrase's words."""
    words = tuple(phrase)
    return {words[start:end] for start in range(len(words)) for end in range(start + 1, len(words) + 1)} - {words}


def _single(word_T: np.ndarray, min_count: int) -> Runs:
    return _numbered(word_T.astype(np.int64), np.ones(len(word_T), dtype=bool), min_count)


def _lengthen(shorter: Runs, single: Runs, begins_T: np.ndarray, length: int, min_count: int) -> Runs:
    """Runs that are one word longer; a run that is rare stays rare."""
    last = length - 1
    run_T = np.full(len(begins_T), -1, dtype=np.int64)
    whole_T = np.zeros(len(begins_T), dtype=bool)
    if len(begins_T) > last:
        head, tail = shorter.run_T[:-last], single.run_T[last:]
        whole_T[:-last] = (head >= 0) & (tail >= 0) & ~begins_T[last:]
        run_T[:-last] = head * len(single.count_R) + tail
    return _numbered(run_T, whole_T, min_count)


def _numbered(run_T: np.ndarray, there_T: np.ndarray, min_count: int) -> Runs:
    """Runs that occur at least `min_count` times, numbered from 0."""
    place = np.flatnonzero(there_T)
    _, first, number, count = np.unique(run_T[place], return_index=True, return_inverse=True, return_counts=True)
    frequent = count >= min_count
    renumbered = np.where(frequent, np.cumsum(frequent) - 1, -1)
    numbered_T = np.full(len(run_T), -1, dtype=np.int64)
    numbered_T[place] = renumbered[number]
    return Runs(numbered_T, count[frequent], place[first[frequent]])
