"""Estimates each concept's confidence on unseen cases, and checks how well these estimates are calibrated.

The highest confidence among 2,000 concepts is partly luck. The expected confidence is the posterior mean of the true
confidence, given the concept's own cases and the distribution of true confidences over all latents (empirical Bayes).
That distribution is estimated non-parametrically (Kiefer & Wolfowitz 1956), because confidences form clusters: a few
concepts that hold and many near one half. Shrinkage to a single mean (Efron & Morris 1975) would be wrong for both.
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
"""Candidate values of the true confidence."""
EM_STEPS = 200
MIN_LATENTS = 10
"""Minimum number of latents per bin, for each half of the users."""
BINS = 10


class Calibration(NamedTuple):
    error: float | None
    """Mean over bins, weighted by latents, of |expected - right|; None if no latent has cases in both halves."""
    bins: list[Metrics]
    """`expected` and `right` are means; `latents` counts every latent once per half."""


def expected_confidence(counts: Sequence[ConfusionCounts]) -> np.ndarray:
    """The expected confidence of each latent on unseen cases, `(latents,)`; NaN if either kind of case is missing.

    A confidence x over p active and q non-activating cases is worth n = 4 / (1/p + 1/q) answers: if both rates were θ,
    the variance of x would be θ(1-θ)/n. The prior g over GRID maximises the likelihood

        Σ_i log Σ_θ g(θ) θ^(n_i x_i) (1-θ)^(n_i (1-x_i))

    by expectation-maximisation (Laird 1978), starting from a uniform g; expected_i = E[θ | n_i, x_i] under g.
    """
    confidence_L = np.full(len(counts), np.nan)
    known = np.array([one.confidence is not None for one in counts], dtype=bool)
    if not known.any():
        return confidence_L
    tp, fp, tn, fn = np.array([one for one in counts if one.confidence is not None], dtype=np.float64).T
    positive, negative = tp + fn, tn + fp
    x_L = (tp / positive + tn / negative) / 2
    n_L = 4 / (1 / positive + 1 / negative)
    log_LG = n_L[:, None] * (x_L[:, None] * np.log(GRID) + (1 - x_L[:, None]) * np.log1p(-GRID))
    likelihood_LG = np.exp(log_LG - log_LG.max(axis=1, keepdims=True))
    g_G = np.full(len(GRID), 1 / len(GRID))
    for _ in range(EM_STEPS):
        # Σ_i of the posterior over GRID, without materialising it: g(θ) Σ_i likelihood_i(θ) / Σ_θ likelihood_i g.
        g_G = g_G * ((1 / (likelihood_LG @ g_G)) @ likelihood_LG) / len(x_L)
    confidence_L[known] = (likelihood_LG @ (g_G * GRID)) / (likelihood_LG @ g_G)
    return confidence_L


def calibrate(predictions: Sequence[Prediction], seed: int) -> Calibration:
    """Compares the confidence expected from one half of the users with that observed on the other half.

    Users are split by a hash. Each half predicts the other for all latents; all predictions are binned together.
    """
    halves = [[_half(prediction, half, seed) for prediction in predictions] for half in (0, 1)]
    pairs = []
    for here, there in (halves, halves[::-1]):
        for predicted, observed in zip(expected_confidence(here), there, strict=True):
            if not np.isnan(predicted) and observed.confidence is not None:
                pairs.append((float(predicted), observed.confidence))
    bins = _bins(np.array(pairs, dtype=np.float64).reshape(-1, 2))
    total = sum(one["latents"] for one in bins)
    error = sum(abs(one["expected"] - one["right"]) * one["latents"] for one in bins) / total if total else None
    return Calibration(error, bins)


def _half(prediction: Prediction, half: int, seed: int) -> ConfusionCounts:
    here = user_halves(prediction.user, seed) == half
    return count(prediction.predicted[here], prediction.active[here])


def user_halves(user: np.ndarray, seed: int) -> np.ndarray:
    """0 or 1 for each user, `(users,)`; the same for all latents."""
    with np.errstate(over="ignore"):
        mixed = user.astype(np.uint64) * GOLDEN + np.uint64(seed)
    return np.asarray(finalise(mixed) & np.uint64(1)).astype(np.int64)


def _bins(pairs: np.ndarray) -> list[Metrics]:
    """Bins by quantiles of the expected confidence, at least MIN_LATENTS latents per half; ties stay together."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    min_size = max(2 * MIN_LATENTS, len(pairs) // BINS)
    cuts = np.flatnonzero(np.diff(pairs[:, 0]) > 0) + 1
    found: list[Metrics] = []
    start = 0
    while start < len(pairs):
        fit = cuts[(cuts >= start + min_size) & (cuts <= len(pairs) - 2 * MIN_LATENTS)]
        stop = int(fit[0]) if len(fit) else len(pairs)
        here = pairs[start:stop]
        found.append({"expected": float(here[:, 0].mean()), "right": float(here[:, 1].mean()), "latents": stop - start})
        start = stop
    return found
