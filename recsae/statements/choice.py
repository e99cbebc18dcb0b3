"""Chooses a latent's statement on select users, and decides on score users which statements hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from recsae.statements.language import Behaviour, Formula, ItemList, ItemSet, Statement

FALSE_DISCOVERIES = 0.05
CONTROL_PERCENTILE = 95
LEAST_GROUPS = 5
"""Fewest groups of users with activating cases for a verdict: an interval over fewer says nothing."""
Z = 1.96
SIZES: dict[type, int] = {Behaviour: 2, ItemSet: 5, ItemList: 7}


class Measured(NamedTuple):
    """A candidate on select users."""

    statement: Statement
    value: float
    """Balanced accuracy; NaN where it could not be measured."""
    error: float
    f1: float


class Verdict(NamedTuple):
    """Whether statements hold, `(P,)` each."""

    p_value_P: np.ndarray
    """Of a balanced accuracy at or below the bar."""
    accepted_P: np.ndarray


def length(statement: Statement) -> int:
    """What a statement asks of its reader: its literals; five for an item set, seven for a list, one more for a
    history."""
    body = statement.body
    size = 1 + len(body.steps) if isinstance(body, Formula) else SIZES[type(body)]
    return size + (statement.view == "history" and not isinstance(body, Behaviour))


def choose(measured: Sequence[Measured]) -> Measured | None:
    """The shortest statement within one standard error of the best (Breiman et al. 1984), of equal ones the better.

    None where no candidate could be measured.
    """
    known = [one for one in measured if np.isfinite(one.value)]
    if not known:
        return None
    best = max(known, key=lambda one: one.value)
    close = [one for one in known if one.value >= best.value - np.nan_to_num(best.error)]
    return min(close, key=lambda one: (length(one.statement), -one.value))


def core(measured: Sequence[Measured]) -> Measured | None:
    """The statement with the highest F1: where the latent mostly fires, while `choose` says where it may."""
    known = [one for one in measured if np.isfinite(one.f1) and one.f1 > 0]
    return max(known, key=lambda one: (one.f1, -length(one.statement)), default=None)


def best_by_kind(measured: Sequence[Measured]) -> list[Measured]:
    """The best candidate of each kind and view, single terms apart, in a fixed order."""
    found: dict[tuple[str, str], Measured] = {}
    for one in measured:
        if np.isfinite(one.value):
            key = (contestant(one.statement), one.statement.view)
            if key not in found or one.value > found[key].value:
                found[key] = one
    return [found[key] for key in sorted(found)]


def gloss(chosen: Measured, measured: Sequence[Measured]) -> Measured | None:
    """What the items of a set or list have in common: the best formula of at most two literals in the same view.

    None for another kind of statement, and where there is no such formula.
    """
    if not isinstance(chosen.statement.body, (ItemSet, ItemList)):
        return None
    short = [
        one
        for one in measured
        if one.statement.view == chosen.statement.view
        and isinstance(one.statement.body, Formula)
        and len(one.statement.body.steps) < 2
        and np.isfinite(one.value)
    ]
    return max(short, key=lambda one: one.value, default=None)


def contestant(statement: Statement) -> str:
    """The kind of a statement; `term` for a formula of one literal."""
    body = statement.body
    return "term" if isinstance(body, Formula) and not body.steps else body.kind


def control_bar(controls: Sequence[np.ndarray]) -> float | None:
    """The largest of the 95th percentiles of the balanced accuracies of each kind of control; None without any."""
    known = [values[np.isfinite(values)] for values in controls]
    found = [float(np.percentile(values, CONTROL_PERCENTILE)) for values in known if len(values)]
    return max(found, default=None)


def decide(value_P: np.ndarray, error_P: np.ndarray, bar: float | None) -> Verdict:
    """Which statements lie above the bar with their whole interval, false discoveries held to 5 % over all of them.

    P values by the normal distribution; the procedure of Benjamini & Hochberg (1995). What could not be measured is not
    accepted.
    """
    p_P = np.ones(len(value_P))
    known = np.isfinite(value_P) & np.isfinite(error_P)
    if bar is None or not known.any():
        return Verdict(p_P, np.zeros(len(value_P), dtype=bool))
    p_P[known] = stats.norm.sf((value_P[known] - bar) / np.maximum(error_P[known], 1e-9))
    kept = stats.false_discovery_control(p_P) <= FALSE_DISCOVERIES
    return Verdict(p_P, kept & known & (value_P - Z * error_P > bar))
