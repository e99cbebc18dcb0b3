"""Effects of an adjustment on users it was not searched on: figures before and after, intervals, and two nulls.

Bootstrap intervals resample users with the same weights before and after, so that changes are paired. The nulls are the
same operations on random other latents and, for gaps between groups, the gap when users' groups are permuted. Shape
suffixes: see balance.py; S resamples, of which the first is the plain sum, R permutations of groups.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.data.chunks import n_chunks, read_chunk
from recsae.distributed import tasks
from recsae.policies import balance
from recsae.policies.balance import CountSpec, SearchObjective
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender
from recsae.recommenders.evaluation import held_out_cases
from recsae.sae import model as saes
from recsae.sae.model import Sae
from recsae.stats.bootstrap import interval, weighted_sums
from recsae.steering.operations import Operation, Steering
from recsae.steering.steered import answers
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

Operations = Sequence[Operation]


class EvalData(NamedTuple):
    """The recommender, the SAE and the users to evaluate on."""

    ingested: Committed
    recommender: Committed
    sae: Folder
    site: str
    seed: int
    users: int | None = None
    """Approximate number of users of a part, drawn by the seed; None: all."""
    members: np.ndarray | None = None
    """Only these users, by user_idx; None: all."""
    device: str = "cpu"

    def cases(self, number: int, part: str | None, splits: Sequence[str] = ("test",)) -> pa.Table:
        """Cases of a chunk with held-out targets, of one part of the users or, if None, of all."""
        cases = held_out_cases(self.ingested, number, part, self.users, self.seed, splits)
        if self.members is None:
            return cases
        return cases.filter(pa.array(np.isin(cases["user_idx"].to_numpy(), self.members)))

    def model(self) -> Recommender:
        return registry.load(self.recommender, self.site, self.device)

    def load_sae(self) -> Sae:
        return saes.load(self.sae, self.device)


class MeasurementPlan(NamedTuple):
    """What to measure, on which users."""

    data: EvalData
    part: str | None
    spec: CountSpec
    variants: tuple[tuple[Operation, ...], ...]
    """The clean model (no operations), the adjustment, then the draws of the null."""
    permuted_RU: np.ndarray | None
    """Permuted groups of users; None if there are no groups."""
    resamples: int


class PolicySums(NamedTuple):
    """Sums over the cases of one chunk or several."""

    plain_VGX: np.ndarray
    resampled_SGX: tuple[np.ndarray, np.ndarray]
    """Sums of the clean model and of the adjustment."""
    permuted_RGX: tuple[np.ndarray, np.ndarray] | None
    recommended_I: tuple[np.ndarray, np.ndarray]
    """Whether the item is recommended to any user."""
    users: int

    def plus(self, other: PolicySums) -> PolicySums:
        permuted = None
        if self.permuted_RGX is not None and other.permuted_RGX is not None:
            permuted = self.permuted_RGX[0] + other.permuted_RGX[0], self.permuted_RGX[1] + other.permuted_RGX[1]
        mine, yours = self.resampled_SGX, other.resampled_SGX
        seen, too = self.recommended_I, other.recommended_I
        return PolicySums(
            self.plain_VGX + other.plain_VGX,
            (mine[0] + yours[0], mine[1] + yours[1]),
            permuted,
            (seen[0] | too[0], seen[1] | too[1]),
            self.users + other.users,
        )


def measure(plan: MeasurementPlan) -> PolicySums:
    """Sums over all chunks of users."""
    numbers = range(n_chunks(plan.data.ingested))
    return functools.reduce(
        PolicySums.plus, tasks.over(measure_chunk, plan, numbers, "measuring the policy", "chunks", plan.data.device)
    )


def measure_chunk(plan: MeasurementPlan, number: int) -> PolicySums:
    """Sums over the cases of one chunk."""
    data, spec = plan.data, plan.spec
    cases, chunk = data.cases(number, plan.part), read_chunk(data.ingested, number)
    facts, sae, model = balance.case_facts(spec, chunk, cases), data.load_sae(), data.model()
    variants = [Steering(sae, operations) for operations in plan.variants]
    groups, width = spec.shape
    plain_VGX = np.zeros((len(variants), groups, width))
    value_2CX = np.zeros((2, cases.num_rows, width))
    recommended_2I = np.zeros((2, model.n_items), dtype=bool)
    for variant, rows, rank_B, top_BT in answers(model, variants, chunk, cases, data.device):
        value_BX = balance.columns(spec, facts.head_C2[rows], rank_B, top_BT)
        np.add.at(plain_VGX[variant], facts.group_C[rows], value_BX)
        if variant < 2:
            value_2CX[variant, rows] = value_BX
            recommended_2I[variant, top_BT[top_BT >= 0]] = True
    user_C = cases["user_idx"].to_numpy()
    resampled = [np.zeros((1 + plan.resamples, groups, width)) for _ in range(2)]
    for group in np.unique(facts.group_C):
        rows = np.flatnonzero(facts.group_C == group)
        for into_SGX, value_CX in zip(resampled, value_2CX, strict=True):
            into_SGX[:, group] = weighted_sums(value_CX[rows], user_C[rows], plan.resamples, data.seed)
    permuted = None
    if plan.permuted_RU is not None:
        shares = [_permuted_sums(plan.permuted_RU[:, user_C], groups, value_CX) for value_CX in value_2CX]
        permuted = shares[0], shares[1]
    return PolicySums(
        plain_VGX,
        (resampled[0], resampled[1]),
        permuted,
        (recommended_2I[0], recommended_2I[1]),
        len(np.unique(user_C)),
    )


def _permuted_sums(group_RC: np.ndarray, groups: int, value_CX: np.ndarray) -> np.ndarray:
    """Sums by permuted group, `(R, G, X)`."""
    permutations, cases = group_RC.shape
    group_RC = np.where(group_RC < 0, groups - 1, group_RC)
    row_N = (np.arange(permutations)[:, None] * groups + group_RC).ravel()
    place_N = np.tile(np.arange(cases), permutations)
    member = sparse.csr_array((np.ones(len(row_N)), (row_N, place_N)), shape=(permutations * groups, cases))
    return np.asarray(member @ value_CX).reshape(permutations, groups, -1)


def permuted_groups(group_U: np.ndarray, part_U: np.ndarray, part: str, count: int, seed: int) -> np.ndarray:
    """Groups permuted among the grouped users of a part, `(R, U)`; all other users keep theirs."""
    inside = np.flatnonzero((part_U == part) & (group_U >= 0))
    found_RU = np.tile(group_U, (count, 1))
    draw = np.random.default_rng((seed, 11))
    for permuted_U in found_RU:
        permuted_U[inside] = draw.permutation(group_U[inside])
    return found_RU


def random_latents(operations: Operations, others: np.ndarray, count: int, seed: int) -> list[tuple[Operation, ...]]:
    """`count` draws of the same operations on random latents of `others` that the adjustment does not touch."""
    free = np.setdiff1d(others, [one.latent for one in operations])
    if not operations or len(free) < len(operations):
        return []
    draw = np.random.default_rng((seed, 12))
    return [
        tuple(
            one._replace(latent=int(latent))
            for one, latent in zip(operations, draw.choice(free, len(operations), replace=False), strict=True)
        )
        for _ in range(count)
    ]


def describe(objective: SearchObjective, sums: PolicySums) -> dict[str, Any]:
    """Every figure before and after with its interval `[low, high]`, its relative change, and the two nulls."""
    before_SGX, after_SGX = sums.resampled_SGX
    figures = {
        name: _side_by_side(before_S, after_S)
        for (name, before_S), after_S in zip(
            _all(objective, before_SGX).items(), _all(objective, after_SGX).values(), strict=True
        )
    }
    clean_I, steered_I = sums.recommended_I
    figures["coverage"] = {"before": float(clean_I.mean()), "after": float(steered_I.mean())}
    found: dict[str, Any] = {"users": sums.users, "figures": figures}
    if sums.permuted_RGX is not None:
        before_R, after_R = (next(iter(objective.figures(permuted_RGX).values())) for permuted_RGX in sums.permuted_RGX)
        found["floor"] = {"before": float(before_R.mean()), "after": float(after_R.mean()), "deals": len(before_R)}
    null_VGX = sums.plain_VGX[2:]
    if len(null_VGX):
        clean = {name: float(value) for name, value in _all(objective, sums.plain_VGX[0]).items()}
        found["null"] = {"draws": len(null_VGX)}
        for name, value_V in _all(objective, null_VGX).items():
            change_V = value_V / clean[name] - 1 if clean[name] else np.zeros(len(value_V))
            found["null"][name] = {"change": float(change_V.mean()), "interval": interval(change_V)}
    return found


def _all(objective: SearchObjective, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
    return {**objective.figures(sum_GX), **balance.common_figures(sum_GX)}


def _side_by_side(before_S: np.ndarray, after_S: np.ndarray) -> dict[str, Any]:
    """A figure before and after; row 0 is the estimate, the others are resamples."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change_S = np.where(before_S > 0, after_S / before_S - 1, np.nan)
    return {
        "before": float(before_S[0]),
        "before_interval": interval(before_S[1:]),
        "after": float(after_S[0]),
        "after_interval": interval(after_S[1:]),
        "change": float(change_S[0]),
        "change_interval": interval(change_S[1:]),
    }
