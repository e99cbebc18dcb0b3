"""Small features and cases, and counts of cases in plain loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from recsae.data.terms import Vocabulary
from recsae.statements.evaluation import Cases
from recsae.statements.features import ItemFeatures
from recsae.statements.language import HISTORY, Formula, Op, Range, Step, Term
from recsae.statements.reading import ShardCases


def features(
    has: Mapping[str, Sequence[int]],
    n_items: int,
    numbers: Mapping[str, Sequence[float]] | None = None,
    spaces: Mapping[str, np.ndarray] | None = None,
) -> ItemFeatures:
    """Items `i0`, `i1`, …; `has` holds the items of each term."""
    dense = np.zeros((n_items, len(has)), dtype=np.float32)
    for column, items in enumerate(has.values()):
        dense[list(items), column] = 1
    return ItemFeatures(
        [f"i{item}" for item in range(n_items)],
        Vocabulary(list(has), sparse.csr_matrix(dense)),
        {name: np.array(values, dtype=np.float64) for name, values in (numbers or {}).items()},
        spaces or {},
    )


def formula(first: str | Range, *steps: tuple[Op, bool, str | Range], negated: bool = False) -> Formula:
    """A formula; a string is a term."""

    def literal(one: str | Range) -> Term | Range:
        return Term(term=one) if isinstance(one, str) else one

    joined = tuple(Step(op=op, negated=no, literal=literal(one)) for op, no, one in steps)
    return Formula(negated=negated, literal=literal(first), steps=joined)


def histories(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Histories, latest first, padded."""
    return np.array([[*row, *[-1] * (HISTORY - len(row))] for row in rows], dtype=np.int32)


def random_cases(draw: np.random.Generator, cases: int, n_items: int) -> Cases:
    """Some cases have no recommended item, some no history, some no value of the behaviour `pace`."""
    rows = [draw.integers(0, n_items, draw.integers(0, HISTORY + 1)).tolist() for _ in range(cases)]
    recommended_B = draw.integers(-1, n_items, cases).astype(np.int32)
    pace_B = np.where(draw.random(cases) < 0.1, np.nan, draw.integers(0, 9, cases).astype(float))
    last_B = np.array([row[0] if row else -1 for row in rows], dtype=np.int32)
    return Cases(recommended_B, last_B, histories(rows), {"pace": pace_B})


def random_shard(draw: np.random.Generator, cases: int, n_items: int, latents: int, groups: int = 8) -> ShardCases:
    fires_BH = draw.random((cases, latents)) < 0.3
    latent_A, case_A = np.nonzero(fires_BH.T)
    group_B = draw.integers(0, groups, cases)
    activation_A = draw.random(len(case_A)).astype(np.float32)
    return ShardCases(random_cases(draw, cases, n_items), group_B, case_A, latent_A, activation_A)


def fires(found: ShardCases, latent: int) -> np.ndarray:
    """Whether the latent fires in each case, `(B,)` bool."""
    fires_B = np.zeros(len(found.group_B), dtype=bool)
    fires_B[found.case_A[found.latent_A == latent]] = True
    return fires_B
