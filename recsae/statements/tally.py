"""Counts how often statements hold where latents fire and where they do not, by group of users.

Shape suffixes: B cases, P pairings of a statement and a latent, G groups of users, I items, V levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.distributed import tasks
from recsae.statements import reading
from recsae.statements.evaluation import Cases, holds_given, membership
from recsae.statements.features import ItemFeatures
from recsae.statements.language import ONE_ITEM, Behaviour, Statement
from recsae.statements.reading import USER_GROUPS, ReadingPlan, ShardCases
from recsae.stats.classification import ConfusionCounts

AT_ONCE = 256
"""Pairings evaluated at once."""
CASES_AT_ONCE = 65_536
LEVELS = 10


class StatementOnLatent(NamedTuple):
    """A statement to be counted on a latent."""

    statement: Statement
    latent: int
    unseen: bool = False
    """Over the cases alone whose item was kept from the search."""


class TallyPlan(NamedTuple):
    """What to count; the same for all shards."""

    reading: ReadingPlan
    part: str
    features: ItemFeatures
    pairings: Sequence[StatementOnLatent]
    unseen_I: np.ndarray
    """Which items were kept from the search."""
    edges: Mapping[int, np.ndarray] = {}
    """The nine inner deciles of the positive activations of latents whose levels are counted."""


class Tally(NamedTuple):
    """Counts over the cases that have what the statement is about."""

    cases_GP: np.ndarray
    fires_GP: np.ndarray
    holds_GP: np.ndarray
    both_GP: np.ndarray
    fires_VP: np.ndarray
    """By level of activation, from the weakest tenth to the strongest; 0 where the plan has no edges."""
    both_VP: np.ndarray

    def plus(self, other: Tally) -> Tally:
        return Tally(*(one + another for one, another in zip(self, other, strict=True)))

    def counts(self, pairing: int) -> ConfusionCounts:
        cases, fires, holds, both = (int(of_GP[:, pairing].sum()) for of_GP in self[:4])
        return ConfusionCounts(both, holds - both, cases - fires - holds + both, fires - both)

    def f1(self) -> np.ndarray:
        """F1 `(P,)`; NaN where the latent never fires and the statement never holds."""
        _, fires, holds, both = (of_GP.sum(axis=0) for of_GP in self[:4])
        with np.errstate(invalid="ignore"):
            return np.asarray(2 * both / (fires + holds))

    def balanced_accuracy(self) -> tuple[np.ndarray, np.ndarray]:
        """Balanced accuracy and its standard error `(P,)`; NaN without activating or without other cases.

        The error is the jackknife's over groups of users (Efron & Stein 1981), so cases of one user count as what they
        are, not as independent ones.
        """
        sums = [of_GP.sum(axis=0) for of_GP in self[:4]]
        value_P = _balanced(*sums)
        left_GP = _balanced(*(whole - of_GP for whole, of_GP in zip(sums, self[:4], strict=True)))
        groups = len(self.cases_GP)
        spread_P = ((left_GP - left_GP.mean(axis=0)) ** 2).sum(axis=0)
        return value_P, np.sqrt((groups - 1) / groups * spread_P)


def _balanced(cases: np.ndarray, fires: np.ndarray, holds: np.ndarray, both: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((both / fires + 1 - (holds - both) / (cases - fires)) / 2)


def tally(plan: TallyPlan, phase: str) -> Tally:
    """The counts over all shards."""
    if not plan.pairings:
        return _zeros(0)
    counted: Tally = tasks.total(_tally, plan, reading.names(plan.reading.activations), phase)
    return counted


def _tally(plan: TallyPlan, name: str) -> Tally:
    return tally_cases(reading.read_part(plan.reading, name, plan.part), plan)


def tally_cases(found: ShardCases, plan: TallyPlan) -> Tally:
    """The counts of one shard."""
    total = _zeros(len(plan.pairings))
    starts = np.searchsorted(found.latent_A, np.arange(plan.reading.num_latents + len(plan.reading.nulls) + 1))
    by_kind: dict[tuple[str, bool], list[int]] = {}
    for number, pairing in enumerate(plan.pairings):
        by_kind.setdefault((_kind(pairing.statement), pairing.unseen), []).append(number)
    for (kind, unseen), numbers in by_kind.items():
        known_B = _known(kind, unseen, found.cases, plan.unseen_I)
        known_G = np.bincount(found.group_B[known_B], minlength=USER_GROUPS)
        for first in range(0, len(numbers), AT_ONCE):
            at = numbers[first : first + AT_ONCE]
            pairings = [plan.pairings[number] for number in at]
            spans = [slice(starts[one.latent], starts[one.latent + 1]) for one in pairings]
            cases = [found.case_A[span][known_B[found.case_A[span]]] for span in spans]
            count = _count_by_item if kind in ONE_ITEM else _count_by_case
            total.holds_GP[:, at], holds = count(kind, known_B, found, pairings, cases, plan.features)
            total.cases_GP[:, at] = known_G[:, None]
            total.fires_GP[:, at] = _by_group(found.group_B, cases)
            total.both_GP[:, at] = _by_group(
                found.group_B, [case[hold] for case, hold in zip(cases, holds, strict=True)]
            )
            for number, pairing, span, hold in zip(at, pairings, spans, holds, strict=True):
                edges = plan.edges.get(pairing.latent)
                if edges is not None:
                    activation = found.activation_A[span][known_B[found.case_A[span]]]
                    level = np.searchsorted(edges, activation, side="right")
                    total.fires_VP[:, number] = np.bincount(level, minlength=LEVELS)
                    total.both_VP[:, number] = np.bincount(level[hold], minlength=LEVELS)
    return total


def _zeros(pairings: int) -> Tally:
    by_group, by_level = ((size, pairings) for size in (USER_GROUPS, LEVELS))
    return Tally(*(np.zeros(shape, dtype=np.int64) for shape in (*[by_group] * 4, *[by_level] * 2)))


def _kind(statement: Statement) -> str:
    return "behaviour" if isinstance(statement.body, Behaviour) else statement.view


def _known(kind: str, unseen: bool, cases: Cases, unseen_I: np.ndarray) -> np.ndarray:
    """Which cases have what statements of this kind are about, `(B,)` bool."""
    if kind in ONE_ITEM:
        item_B = cases.of_view(kind)
        return np.asarray((item_B >= 0) & (unseen_I[item_B] | (not unseen)))
    return np.asarray(cases.history_BL[:, 0] >= 0)


def _count_by_item(
    view: str,
    known_B: np.ndarray,
    found: ShardCases,
    pairings: Sequence[StatementOnLatent],
    cases: Sequence[np.ndarray],
    features: ItemFeatures,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Where statements about one item hold `(G, P)`, by counts of items, and whether in each activating case."""
    member_IP = membership([one.statement for one in pairings], features)
    item_B = found.cases.of_view(view)
    flat = found.group_B[known_B] * features.n_items + item_B[known_B]
    of_item_GI = np.bincount(flat, minlength=USER_GROUPS * features.n_items).reshape(USER_GROUPS, -1)
    held_GP = (of_item_GI.astype(np.float64) @ member_IP).astype(np.int64)
    return held_GP, [member_IP[item_B[case], place] for place, case in enumerate(cases)]


def _count_by_case(
    kind: str,
    known_B: np.ndarray,
    found: ShardCases,
    pairings: Sequence[StatementOnLatent],
    cases: Sequence[np.ndarray],
    features: ItemFeatures,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The same for statements about a whole case."""
    statements = [one.statement for one in pairings]
    member_IP = membership(statements, features)
    held_GP = np.zeros((USER_GROUPS, len(pairings)), dtype=np.int64)
    holds = [np.zeros(len(case), dtype=bool) for case in cases]
    for start in range(0, len(known_B), CASES_AT_ONCE):
        rows = np.arange(start, min(start + CASES_AT_ONCE, len(known_B)))
        holds_BP = holds_given(statements, member_IP, found.cases.take(rows)) & known_B[rows, None]
        of_group = sparse.csr_matrix(
            (np.ones(len(rows), np.int64), (found.group_B[rows], np.arange(len(rows)))), shape=(USER_GROUPS, len(rows))
        )
        held_GP += of_group @ holds_BP.astype(np.int32)
        for place, case in enumerate(cases):
            inside = (case >= start) & (case < start + len(rows))
            holds[place][inside] = holds_BP[case[inside] - start, place]
    return held_GP, holds


def _by_group(group_B: np.ndarray, cases: Sequence[np.ndarray]) -> np.ndarray:
    """The number of cases in each group, `(G, P)`."""
    return np.stack([np.bincount(group_B[case], minlength=USER_GROUPS) for case in cases], axis=1)
