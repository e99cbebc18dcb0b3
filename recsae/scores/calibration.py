"""What to expect of a concept on unseen cases, given what many were seen to do; and whether it comes true.

Of 2,000 concepts the one with the highest confidence was lucky too. Its expected confidence is the mean of what it may
truly be, given its own cases and how true confidences are distributed over all latents (empirical Bayes). The
distribution is estimated without a form (Kiefer & Wolfowitz 1956), because confidences come in heaps, a few concepts
that hold and many near one half: drawn towards one mean (Efron & Morris 1975), either heap is told the wrong number. It
knows counts of right answers, and no concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsae.hashing import GOLDEN, finalise
from recsae.scores.evaluation import Prediction
from recsae.stats.classification import ConfusionCounts, count
from recsae.store.run_store import Metrics

GRID = (np.arange(200) + 0.5) / 200
"""What a true confidence may be."""
STEPS = 200
LEAST = 10
"""Latents in a bin."""
BINS = 10


class Calibration(NamedTuple):
    error: float | None
    """Mean over bins, weighted by latents, of |expected - right|; None where no latent has cases on both halves."""
    bins: list[Metrics]
    """`expected` and `right`, means, and `latents`, each of which is counted once for either half."""


def expected(counts: Sequence[ConfusionCounts]) -> np.ndarray:
    """The confidence to expect of each latent on unseen cases, `(latents,)`; NaN without active or silent cases.

    With confidence x over p active and q silent cases, n = 4 / (1/p + 1/q) answers count as many as the two rates
    deserve: were both rates θ, x would vary by θ(1-θ)/n. The prior g over GRID maximises the likelihood

        Σ_i log Σ_θ g(θ) θ^(n_i x_i) (1-θ)^(n_i (1-x_i))

    by expectation-maximisation (Laird 1978), from an even g; expected_i = E[θ | n_i, x_i] under it.
    """
    found = np.full(len(counts), np.nan)
    known = np.array([one.confidence is not None for one in counts], dtype=bool)
    if not known.any():
        return found
    tp, fp, tn, fn = np.array([one for one in counts if one.confidence is not None], dtype=np.float64).T
    positive, negative = tp + fn, tn + fp
    x_L = (tp / positive + tn / negative) / 2
    n_L = 4 / (1 / positive + 1 / negative)
    log_LG = n_L[:, None] * (x_L[:, None] * np.log(GRID) + (1 - x_L[:, None]) * np.log1p(-GRID))
    likelihood_LG = np.exp(log_LG - log_LG.max(axis=1, keepdims=True))
    g_G = np.full(len(GRID), 1 / len(GRID))
    for _ in range(STEPS):
        # Σ_i of the posterior over GRID, without forming it: g(θ) Σ_i likelihood_i(θ) / Σ_θ likelihood_i g.
        g_G = g_G * ((1 / (likelihood_LG @ g_G)) @ likelihood_LG) / len(x_L)
    found[known] = (likelihood_LG @ (g_G * GRID)) / (likelihood_LG @ g_G)
    return found


def calibrate(rulings: Sequence[Prediction], seed: int) -> Calibration:
    """How far what is expected from one half of each latent's users lies from the right answers on the other.

    Users are halved by a hash. Each half of all latents predicts the other, and both predictions are binned together.
    """
    halves = [[_half(ruling, half, seed) for ruling in rulings] for half in (0, 1)]
    pairs = []
    for here, there in (halves, halves[::-1]):
        for predicted, seen in zip(expected(here), there, strict=True):
            if not np.isnan(predicted) and seen.confidence is not None:
                pairs.append((float(predicted), seen.confidence))
    bins = _bins(np.array(pairs, dtype=np.float64).reshape(-1, 2))
    total = sum(one["latents"] for one in bins)
    error = sum(abs(one["expected"] - one["right"]) * one["latents"] for one in bins) / total if total else None
    return Calibration(error, bins)


def _half(ruling: Prediction, half: int, seed: int) -> ConfusionCounts:
    here = user_halves(ruling.user, seed) == half
    return count(ruling.judged[here], ruling.active[here])


def user_halves(user: np.ndarray, seed: int) -> np.ndarray:
    """0 or 1 for each user, the same for all latents."""
    with np.errstate(over="ignore"):
        mixed = user.astype(np.uint64) * GOLDEN + np.uint64(seed)
    return np.asarray(finalise(mixed) & np.uint64(1)).astype(np.int64)


def _bins(pairs: np.ndarray) -> list[Metrics]:
    """By quantiles of what is expected, of at least LEAST latents on either half; equals stay together."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    least = max(2 * LEAST, len(pairs) // BINS)
    cuts = np.flatnonzero(np.diff(pairs[:, 0]) > 0) + 1
    found: list[Metrics] = []
    start = 0
    while start < len(pairs):
        fit = cuts[(cuts >= start + least) & (cuts <= len(pairs) - 2 * LEAST)]
        stop = int(fit[0]) if len(fit) else len(pairs)
        here = pairs[start:stop]
        found.append({"expected": float(here[:, 0].mean()), "right": float(here[:, 1].mean()), "latents": stop - start})
        start = stop
    return found
