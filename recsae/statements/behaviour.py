"""Features of a case that no item alone has: how long, how popular, how varied the history is.

Shape suffixes: B cases, L the last ten events, latest first.
"""

from __future__ import annotations

import numpy as np

LENGTH, POPULARITY, REPEATS = "history length", "popularity of the last ten", "repeats in the last ten"


def features(history_BL: np.ndarray, position_B: np.ndarray, popularity_I: np.ndarray) -> dict[str, np.ndarray]:
    """The features of each case, `(B,)` float64 by name; NaN where a case has none.

    `position_B` is the number of events before the case; `popularity_I` the quantile of training events, 0 to 1.
    """
    known_BL = history_BL >= 0
    length_B = known_BL.sum(axis=1)
    some_B = length_B > 0
    popular_BL = np.where(known_BL, popularity_I[history_BL.clip(min=0)], 0.0)
    mean_B = popular_BL.sum(axis=1) / np.maximum(length_B, 1)
    ordered_BL = np.sort(np.where(known_BL, history_BL, -1), axis=1)
    repeats_B = ((ordered_BL[:, 1:] == ordered_BL[:, :-1]) & (ordered_BL[:, 1:] >= 0)).sum(axis=1)
    return {
        LENGTH: position_B.astype(np.float64),
        POPULARITY: np.where(some_B, mean_B, np.nan),
        REPEATS: np.where(some_B, repeats_B / np.maximum(length_B, 1), np.nan),
    }
