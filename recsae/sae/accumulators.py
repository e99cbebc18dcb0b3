"""Accumulators behind the fidelity of an SAE: what one shard or one chunk of users adds to the totals.

They hold the moments of a stream, squared errors of edits, counts of active latents and counts of ranks. Errors and
rank counts are summed once unweighted and once under the weights of every bootstrap resample of users. Shape suffixes:
B cases of a block, C cases of a shard or chunk, D width, H latents, E edits, S sums (the first is unweighted), R the
clean model and the E edits, K counted ranks, U users, X columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from recsae.recommenders.ranking import EditComparison
from recsae.sae.controls import Control, Reconstruction
from recsae.sae.model import Encoded, Sae
from recsae.schemas.base import PARTS
from recsae.stats.bootstrap import weighted_sums
from recsae.stats.ranking_metrics import count_by_user
from recsae.store import shards

MAX_FLOATS_PER_BLOCK = 4_000_000
"""B x D of a block, at most; it bounds memory."""


class Bootstrap(NamedTuple):
    """Number of bootstrap resamples of users, and the seed of their weights."""

    resamples: int
    seed: int


class Moments(NamedTuple):
    """First and second moments of a stream: `Σ x` `(D,)` and `Σ x xᵀ` `(D, D)`, float64."""

    by_shard: tuple[int, ...]
    """Number of cases in each shard."""
    total_D: np.ndarray
    square_DD: np.ndarray

    @property
    def cases(self) -> int:
        return sum(self.by_shard)

    @property
    def mean_D(self) -> np.ndarray:
        return np.asarray(self.total_D / max(self.cases, 1))

    @property
    def scatter_DD(self) -> np.ndarray:
        """`Σ (x − mean)(x − mean)ᵀ`."""
        return np.asarray(self.square_DD - np.outer(self.mean_D, self.total_D))

    @property
    def scale(self) -> float:
        """Root mean square per dimension after centring."""
        return float(np.sqrt(max(np.trace(self.scatter_DD), 1e-12) / max(self.cases * len(self.total_D), 1)))

    def plus(self, other: Moments) -> Moments:
        return Moments(self.by_shard + other.by_shard, self.total_D + other.total_D, self.square_DD + other.square_DD)


class ActiveCounts(NamedTuple):
    """Number of cases in which each latent of an SAE is active."""

    cases: int
    count_H: np.ndarray

    @property
    def l0(self) -> float:
        """Mean number of active latents per case."""
        return float(self.count_H.sum() / max(self.cases, 1))

    @property
    def alive(self) -> int:
        """Number of latents active in at least one case."""
        return int((self.count_H > 0).sum())

    @property
    def dead_share(self) -> float:
        return 1 - self.alive / len(self.count_H)

    def plus(self, other: ActiveCounts) -> ActiveCounts:
        return ActiveCounts(self.cases + other.cases, self.count_H + other.count_H)


class ShardSums(NamedTuple):
    """Sums over the cases of one part in one shard."""

    sum_SX: np.ndarray
    """Columns: the number of cases, `Σ ‖x‖²`, `Σ ‖edit(x) − x‖²` for every edit, and `Σ x`."""
    user_U: np.ndarray
    """Users of these cases; a user whose cases lie in two shards occurs twice."""
    active: dict[str, ActiveCounts]
    """Active latents of each SAE on these cases, by the name of its edit."""
    on_explain: dict[str, ActiveCounts]
    """The same on the shard's explain users; empty unless requested."""

    def plus(self, other: ShardSums) -> ShardSums:
        return ShardSums(
            self.sum_SX + other.sum_SX,
            np.concatenate([self.user_U, other.user_U]),
            {name: mine.plus(other.active[name]) for name, mine in self.active.items()},
            {name: mine.plus(other.on_explain[name]) for name, mine in self.on_explain.items()},
        )


class ChunkSums(NamedTuple):
    """Sums over the ranked cases of one chunk of users."""

    sum_SRK: np.ndarray
    """int64 rank counts of the clean model and of each edit. The last column counts the clean model's top-10 items, and
    for an edit those of them still in the top 10."""
    users: int

    def plus(self, other: ChunkSums) -> ChunkSums:
        return ChunkSums(self.sum_SRK + other.sum_SRK, self.users + other.users)


def moments(table: pa.Table, part: str, device: str = "cpu") -> Moments:
    """Moments of the cases of one part of users in one shard."""
    width = _width(table)
    cases = 0
    total_D = torch.zeros(width, dtype=torch.float64, device=device)
    square_DD = torch.zeros(width, width, dtype=torch.float64, device=device)
    for x_BD, _ in blocks(table, part):
        exact_BD = torch.from_numpy(x_BD).to(device).double()
        cases += len(x_BD)
        total_D += exact_BD.sum(0)
        square_DD += exact_BD.T @ exact_BD
    return Moments((cases,), total_D.cpu().numpy(), square_DD.cpu().numpy())


@torch.inference_mode()
def shard_sums(
    table: pa.Table, controls: Mapping[str, Control], part: str, explain: bool, draws: Bootstrap, device: str = "cpu"
) -> ShardSums:
    """Sums of one shard; with `explain`, active latents are counted on explain users too.

    Controls become edits one at a time, so that only one SAE is in memory.
    """
    inside_C = table["part"].to_numpy() == PARTS.index(part)
    error_CE = np.zeros((int(inside_C.sum()), len(controls)))
    active: dict[str, ActiveCounts] = {}
    on_explain: dict[str, ActiveCounts] = {}
    for number, (name, control) in enumerate(controls.items()):
        edit, done = control.on(device), 0
        if isinstance(edit, Reconstruction):
            active[name] = ActiveCounts(0, np.zeros(edit.sae.num_latents, dtype=np.int64))
        for block_BD, _ in blocks(table, part):
            x_BD = torch.from_numpy(block_BD).to(device)
            if isinstance(edit, Reconstruction):
                encoded = edit.sae.encode(x_BD)
                active[name] = active[name].plus(_active(edit.sae, encoded))
                after_BD = edit.decode(encoded, x_BD)
            else:
                after_BD = edit(x_BD)
            error_CE[done : done + len(x_BD), number] = (after_BD - x_BD).double().square().sum(1).cpu().numpy()
            done += len(x_BD)
        if explain and isinstance(edit, Reconstruction):
            on_explain[name] = ActiveCounts(0, np.zeros(edit.sae.num_latents, dtype=np.int64))
            for block_BD, _ in blocks(table, "explain"):
                encoded = edit.sae.encode(torch.from_numpy(block_BD).to(device))
                on_explain[name] = on_explain[name].plus(_active(edit.sae, encoded))
    sum_SX, users = _by_user(table, part, error_CE, draws)
    return ShardSums(sum_SX, users, active, on_explain)


def _active(sae: Sae, encoded: Encoded) -> ActiveCounts:
    fired_N = encoded.index_BK[encoded.value_BK > 0]
    return ActiveCounts(len(encoded.index_BK), torch.bincount(fired_N, minlength=sae.num_latents).cpu().numpy())


def _by_user(table: pa.Table, part: str, error_CE: np.ndarray, draws: Bootstrap) -> tuple[np.ndarray, np.ndarray]:
    """`ShardSums.sum_SX` and `ShardSums.user_U`."""
    sum_SX = np.zeros((1 + draws.resamples, 2 + error_CE.shape[1] + _width(table)))
    users, done = [np.empty(0, dtype=np.int32)], 0
    for x_BD, user_B in blocks(table, part):
        exact_BD = x_BD.astype(np.float64)
        square_B1 = np.square(exact_BD).sum(1, keepdims=True)
        error_BE = error_CE[done : done + len(x_BD)]
        value_BX = np.concatenate([np.ones_like(square_B1), square_B1, error_BE, exact_BD], axis=1)
        # Cases of a user are adjacent and share the user's bootstrap weights.
        starts = np.flatnonzero(np.diff(user_B, prepend=-1))
        sum_SX += weighted_sums(np.add.reduceat(value_BX, starts), user_B[starts], *draws)
        users.append(user_B[starts])
        done += len(x_BD)
    return sum_SX, np.unique(np.concatenate(users))


def chunk_sums(compared: EditComparison, draws: Bootstrap) -> ChunkSums:
    """Rank counts of one chunk of users, unweighted and for every resample."""
    user_U, user_C = np.unique(compared.user_C, return_inverse=True)
    ranks = (compared.clean_C, *compared.edited.values())
    firsts = (compared.top10_C, *compared.shared.values())
    columns = []
    for rank_C, first_C in zip(ranks, firsts, strict=True):
        columns += [count_by_user(rank_C, user_C)[1], np.bincount(user_C, first_C, len(user_U))[:, None]]
    sum_SX = weighted_sums(np.concatenate(columns, axis=1), user_U, *draws).astype(np.int64)
    return ChunkSums(sum_SX.reshape(len(sum_SX), len(ranks), -1), len(user_U))


def blocks(table: pa.Table, part: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield vectors `(B, D)` and users `(B,)` of the cases of one part, in blocks of bounded size."""
    at_once = max(1, MAX_FLOATS_PER_BLOCK // _width(table))
    for start in range(0, table.num_rows, at_once):
        block = table.slice(start, at_once)
        inside = block["part"].to_numpy() == PARTS.index(part)
        if inside.any():
            yield shards.vectors(block)[inside], block["user_idx"].to_numpy()[inside]


def _width(table: pa.Table) -> int:
    return int(table.schema.field("activation").type.list_size)
