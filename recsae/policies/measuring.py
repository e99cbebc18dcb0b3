"""What an adjustment does on users who did not choose it: figures before and after, their intervals, and two nulls.

Intervals resample users, by the same weights before and after, so that changes are paired. Beside them stand the same
operations on random other latents, and of differences between groups what they are when users are dealt to the groups
at random. It knows a model, an SAE and operations, and nothing of how these were found. Suffixes: see balance.py; S
resamples, of which the first is plain, R deals of users.
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
from recsae.policies.balance import Aim, Ground
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


class World(NamedTuple):
    """On whose cases something is measured, and by which model and SAE."""

    ingested: Committed
    recommender: Committed
    sae: Folder
    site: str
    seed: int
    users: int | None = None
    """So many users of a part, about, drawn by the seed; None: all."""
    members: np.ndarray | None = None
    """These users alone, by user_idx; None: all."""
    device: str = "cpu"

    def cases(self, number: int, part: str | None, splits: Sequence[str] = ("test",)) -> pa.Table:
        """Cases of a chunk whose target is held out; of a part of the users, or, where that is None, of all."""
        cases = held_out_cases(self.ingested, number, part, self.users, self.seed, splits)
        if self.members is None:
            return cases
        return cases.filter(pa.array(np.isin(cases["user_idx"].to_numpy(), self.members)))

    def model(self) -> Recommender:
        return registry.load(self.recommender, self.site, self.device)

    def load_sae(self) -> Sae:
        return saes.load(self.sae, self.device)


class MeasurementPlan(NamedTuple):
    """What is measured."""

    world: World
    part: str | None
    ground: Ground
    variants: tuple[tuple[Operation, ...], ...]
    """The clean model, which is no operation; the adjustment; then those of the null."""
    deals_RU: np.ndarray | None
    """Groups of users dealt at random; none where there are no groups."""
    resamples: int


class PolicySums(NamedTuple):
    """What the cases of one chunk add."""

    plain_VGX: np.ndarray
    resampled_SGX: tuple[np.ndarray, np.ndarray]
    """Of the clean model and of the adjustment."""
    dealt_RGX: tuple[np.ndarray, np.ndarray] | None
    recommended_I: tuple[np.ndarray, np.ndarray]
    """Whether anybody is recommended the item."""
    users: int

    def plus(self, other: PolicySums) -> PolicySums:
        dealt = None
        if self.dealt_RGX is not None and other.dealt_RGX is not None:
            dealt = self.dealt_RGX[0] + other.dealt_RGX[0], self.dealt_RGX[1] + other.dealt_RGX[1]
        mine, yours = self.resampled_SGX, other.resampled_SGX
        seen, too = self.recommended_I, other.recommended_I
        return PolicySums(
            self.plain_VGX + other.plain_VGX,
            (mine[0] + yours[0], mine[1] + yours[1]),
            dealt,
            (seen[0] | too[0], seen[1] | too[1]),
            self.users + other.users,
        )


def measure(asked: MeasurementPlan) -> PolicySums:
    """Over all chunks of users."""
    numbers = range(n_chunks(asked.world.ingested))
    return functools.reduce(
        PolicySums.plus, tasks.over(of_chunk, asked, numbers, "measuring the policy", "chunks", asked.world.device)
    )


def of_chunk(asked: MeasurementPlan, number: int) -> PolicySums:
    """The cases of one chunk."""
    world, ground = asked.world, asked.ground
    cases, chunk = world.cases(number, asked.part), read_chunk(world.ingested, number)
    told, sae, model = balance.facts(ground, chunk, cases), world.load_sae(), world.model()
    variants = [Steering(sae, operations) for operations in asked.variants]
    groups, width = ground.shape
    plain_VGX = np.zeros((len(variants), groups, width))
    value_2CX = np.zeros((2, cases.num_rows, width))
    recommended_2I = np.zeros((2, model.n_items), dtype=bool)
    for variant, rows, rank_B, top_BT in answers(model, variants, chunk, cases, world.device):
        value_BX = balance.columns(ground, told.head_C2[rows], rank_B, top_BT)
        np.add.at(plain_VGX[variant], told.group_C[rows], value_BX)
        if variant < 2:
            value_2CX[variant, rows] = value_BX
            recommended_2I[variant, top_BT[top_BT >= 0]] = True
    user_C = cases["user_idx"].to_numpy()
    resampled = [np.zeros((1 + asked.resamples, groups, width)) for _ in range(2)]
    for group in np.unique(told.group_C):
        rows = np.flatnonzero(told.group_C == group)
        for into_SGX, value_CX in zip(resampled, value_2CX, strict=True):
            into_SGX[:, group] = weighted_sums(value_CX[rows], user_C[rows], asked.resamples, world.seed)
    dealt = None
    if asked.deals_RU is not None:
        shares = [_by_deal(asked.deals_RU[:, user_C], groups, value_CX) for value_CX in value_2CX]
        dealt = shares[0], shares[1]
    return PolicySums(
        plain_VGX,
        (resampled[0], resampled[1]),
        dealt,
        (recommended_2I[0], recommended_2I[1]),
        len(np.unique(user_C)),
    )


def _by_deal(group_RC: np.ndarray, groups: int, value_CX: np.ndarray) -> np.ndarray:
    """Sums by dealt group, `(R, G, X)`."""
    deals, cases = group_RC.shape
    group_RC = np.where(group_RC < 0, groups - 1, group_RC)
    row_N = (np.arange(deals)[:, None] * groups + group_RC).ravel()
    place_N = np.tile(np.arange(cases), deals)
    member = sparse.csr_array((np.ones(len(row_N)), (row_N, place_N)), shape=(deals * groups, cases))
    return np.asarray(member @ value_CX).reshape(deals, groups, -1)


def deals(group_U: np.ndarray, part_U: np.ndarray, part: str, count: int, seed: int) -> np.ndarray:
    """Users of a part dealt anew to groups of the same sizes, `(R, U)`; who is in none stays so."""
    inside = np.flatnonzero((part_U == part) & (group_U >= 0))
    found_RU = np.tile(group_U, (count, 1))
    draw = np.random.default_rng((seed, 11))
    for dealt_U in found_RU:
        dealt_U[inside] = draw.permutation(group_U[inside])
    return found_RU


def elsewhere(operations: Operations, others: np.ndarray, count: int, seed: int) -> list[tuple[Operation, ...]]:
    """The same operations on random latents among `others`, which the adjustment leaves alone; `count` times."""
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


def described(aim: Aim, sums: PolicySums) -> dict[str, Any]:
    """Every figure before and after with `[low, high]`, its relative change, and the two nulls."""
    before_SGX, after_SGX = sums.resampled_SGX
    told = {
        name: _side_by_side(before_S, after_S)
        for (name, before_S), after_S in zip(_all(aim, before_SGX).items(), _all(aim, after_SGX).values(), strict=True)
    }
    clean_I, steered_I = sums.recommended_I
    told["coverage"] = {"before": float(clean_I.mean()), "after": float(steered_I.mean())}
    found: dict[str, Any] = {"users": sums.users, "figures": told}
    if sums.dealt_RGX is not None:
        before_R, after_R = (next(iter(aim.figures(dealt_RGX).values())) for dealt_RGX in sums.dealt_RGX)
        found["floor"] = {"before": float(before_R.mean()), "after": float(after_R.mean()), "deals": len(before_R)}
    null_VGX = sums.plain_VGX[2:]
    if len(null_VGX):
        clean = {name: float(value) for name, value in _all(aim, sums.plain_VGX[0]).items()}
        found["null"] = {"draws": len(null_VGX)}
        for name, value_V in _all(aim, null_VGX).items():
            change_V = value_V / clean[name] - 1 if clean[name] else np.zeros(len(value_V))
            found["null"][name] = {"change": float(change_V.mean()), "interval": interval(change_V)}
    return found


def _all(aim: Aim, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
    return {**aim.figures(sum_GX), **balance.common(sum_GX)}


def _side_by_side(before_S: np.ndarray, after_S: np.ndarray) -> dict[str, Any]:
    """Row 0 is plain."""
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
