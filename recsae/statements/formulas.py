"""Searches the formula of up to four literals that best tells a latent's cases by their items.

With the cases of each item counted, the balanced accuracy of any item body is ½ + ½ Σ w over the items that satisfy
it, where w = (share of the activating cases) − (share of the others). So a body's worth is a sum over its items, and a
literal is joined to a formula in one matrix product. The search is a beam: from each formula all literals are tried
with and, and not, or. Shape suffixes: I items, M literals of the pool, T terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.data.terms import Vocabulary
from recsae.statements.evaluation import within
from recsae.statements.language import MAX_LITERALS, Formula, Op, Range, Step, Term

POOL = 24
"""Terms tried for a latent: those whose worth is farthest from zero, half of either sign."""
BEAM = 10
PRICE = 0.02
"""Σ w that a further literal must add: a hundredth of balanced accuracy."""
MAX_VALUES, STEPS = 128, 20
"""Whole numbers of so many different values are searched one by one, others in steps: quantiles of two digits."""


class Steps(NamedTuple):
    """Where ranges of a number may begin and end."""

    edges: np.ndarray
    """Ascending; the first is at or below every value, up to rounding."""
    exact: bool
    """Whether the edges are all the values there are."""


class Searchable(NamedTuple):
    """What formulas can say of the items; the same for all latents."""

    vocabulary: Vocabulary
    terms_TI: sparse.csr_matrix
    """`vocabulary.item_terms`, transposed."""
    numbers: Mapping[str, np.ndarray]
    steps: Mapping[str, Steps]


class _Found(NamedTuple):
    worth: float
    formula: Formula
    holds_I: np.ndarray


def searchable(vocabulary: Vocabulary, numbers: Mapping[str, np.ndarray]) -> Searchable:
    steps = {name: _steps(values_I[~np.isnan(values_I)]) for name, values_I in numbers.items()}
    return Searchable(vocabulary, sparse.csr_matrix(vocabulary.item_terms.T), numbers, steps)


def _steps(values: np.ndarray) -> Steps:
    distinct = np.unique(values)
    if len(distinct) <= STEPS or (len(distinct) <= MAX_VALUES and np.array_equal(distinct, np.round(distinct))):
        return Steps(distinct, True)
    quantiles = np.quantile(values, np.arange(STEPS) / STEPS)
    return Steps(np.unique([float(f"{value:.2g}") for value in quantiles]), False)


def search(w_I: np.ndarray, of: Searchable) -> list[Formula]:
    """The best formula of each length that adds enough to the shorter ones, the best last.

    `w_I` is float64 over all items, 0 for those kept from the search.
    """
    literals, holds_MI = _pool(w_I, of)
    if not literals:
        return []
    singles = [
        _Found(
            sign * float(w_I[holds_I].sum()) + (negated and float(w_I.sum())),
            Formula(negated=negated, literal=one),
            holds_I ^ negated,
        )
        for one, holds_I in zip(literals, holds_MI, strict=True)
        for negated, sign in ((False, 1), (True, -1))
    ]
    beam = sorted(singles, key=lambda found: -found.worth)[:BEAM]
    best = beam[:1]
    weights_MI = holds_MI.astype(np.float64)
    total_M = weights_MI @ w_I
    for _ in range(MAX_LITERALS - 1):
        beam = _extend(beam, w_I, literals, holds_MI, weights_MI, total_M, of)
        if not beam:
            break
        further = len(beam[0].formula.steps) - len(best[-1].formula.steps)
        if beam[0].worth >= best[-1].worth + further * PRICE:
            best.append(beam[0])
    return [found.formula for found in best]


def _pool(w_I: np.ndarray, of: Searchable) -> tuple[list[Term | Range], np.ndarray]:
    """Literals and which items satisfy them, `(M, I)` bool."""
    worth_T = of.terms_TI @ w_I
    order = np.argsort(worth_T, kind="stable")
    chosen = np.unique(np.concatenate([order[: POOL // 2], order[-(POOL // 2) :]]))
    literals: list[Term | Range] = [Term(term=of.vocabulary.terms[term]) for term in chosen.tolist()]
    rows = [of.terms_TI[chosen].toarray() > 0] if len(chosen) else []
    for name, values_I in of.numbers.items():
        found = best_range(name, values_I, w_I, of.steps[name])
        if found:
            literals.append(found)
            rows.append(within(values_I, found)[None])
    return literals, np.concatenate(rows) if rows else np.zeros((0, len(w_I)), dtype=bool)


def _extend(
    beam: list[_Found],
    w_I: np.ndarray,
    literals: list[Term | Range],
    holds_MI: np.ndarray,
    weights_MI: np.ndarray,
    total_M: np.ndarray,
    of: Searchable,
) -> list[_Found]:
    """The best formulas with one literal more than those of the beam, better than either part alone."""
    tried: list[tuple[float, int, Step, np.ndarray]] = []
    feature_M = [literal.feature if isinstance(literal, Range) else None for literal in literals]
    for place, found in enumerate(beam):
        used = _ranged(found.formula)
        both_M = weights_MI @ (w_I * found.holds_I)
        joined: tuple[tuple[Op, bool, np.ndarray, np.ndarray], ...] = (
            ("and", False, both_M, total_M),
            ("and", True, found.worth - both_M, w_I.sum() - total_M),
            ("or", False, found.worth + total_M - both_M, total_M),
        )
        for op, negated, worth_M, alone_M in joined:
            better_M = (worth_M > found.worth) & (worth_M > alone_M)
            for m in np.argsort(np.where(better_M, -worth_M, np.inf), kind="stable")[:BEAM].tolist():
                if better_M[m] and feature_M[m] not in used:
                    step = Step(op=op, negated=negated, literal=literals[m])
                    tried.append((float(worth_M[m]), place, step, holds_MI[m]))
        for name, values_I in of.numbers.items():
            if name in used:
                continue
            narrowed = best_range(name, values_I, w_I * found.holds_I, of.steps[name])
            if narrowed:
                inside_I = within(values_I, narrowed)
                worth = float(w_I[found.holds_I & inside_I].sum())
                tried.append((worth, place, Step(op="and", literal=narrowed), inside_I))
    tried.sort(key=lambda one: (-one[0], one[1]))
    kept: list[_Found] = []
    seen: set[float] = set()
    for worth, place, step, holds_I in tried:
        if len(kept) == BEAM:
            break
        if worth <= beam[place].worth or round(worth, 9) in seen:  # no gain, or another spelling of the same items
            continue
        seen.add(round(worth, 9))
        before = beam[place]
        other_I = holds_I ^ step.negated
        joined_I = before.holds_I & other_I if step.op == "and" else before.holds_I | other_I
        formula = before.formula.model_copy(update={"steps": (*before.formula.steps, step)})
        kept.append(_Found(worth, formula, joined_I))
    return kept


def _ranged(formula: Formula) -> set[str]:
    """The numbers of which the formula has a range; a second one would be hard to read."""
    literals = (formula.literal, *(step.literal for step in formula.steps))
    return {literal.feature for literal in literals if isinstance(literal, Range)}


def best_range(feature: str, values_I: np.ndarray, w_I: np.ndarray, steps: Steps) -> Range | None:
    """The range of the feature with the largest Σ w; None where no value has a positive one, or where all lie in it."""
    known = np.flatnonzero(~np.isnan(values_I) & (w_I != 0))
    if not len(known):
        return None
    step = np.searchsorted(steps.edges, values_I[known], side="right") - 1
    start, stop = best_run(np.bincount(step.clip(min=0), weights=w_I[known], minlength=len(steps.edges)))
    if start == stop or (start == 0 and stop == len(steps.edges)):
        return None
    low = float(steps.edges[start]) if start else None
    high = float(steps.edges[stop - 1 if steps.exact else stop]) if stop < len(steps.edges) else None
    return Range(feature=feature, low=low, high=high)


def best_run(w_Q: np.ndarray) -> tuple[int, int]:
    """Start and stop of the run of neighbours with the largest sum; equal where no sum is positive (Kadane)."""
    upto = np.concatenate([[0.0], np.cumsum(w_Q)])
    gain = upto - np.minimum.accumulate(upto)
    stop = int(np.argmax(gain))
    if gain[stop] <= 0:
        return 0, 0
    return int(np.argmin(upto[: stop + 1])), stop
