"""Finds latents that correlate with a trait of users, from sums over shards.

    r(h, g) = Pearson, over explain users, of the user's mean activation of latent h with their trait g
    t = r √((n − 2) / (1 − r²))    p two-sided, corrected over all latents and traits (Benjamini & Hochberg 1995)

A trait is membership of one group of an attribute, or the share of a user's cases whose top item is a head item. At the
site `item` an item is a case and its own user, and the trait is whether it is a head item. r is the effect size. Shape
suffixes: B cases, U users, H latents, G traits, N selected latents.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from scipy import sparse, stats

from recsae.distributed import tasks
from recsae.sae.attributes import CONSTANT, as_matrix
from recsae.sae.model import Sae, load
from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

ROWS_AT_ONCE = 16_384
"""Cases encoded at once."""
FDR = 0.05
"""False discovery rate: expected fraction of false positives among the latents found."""


class Trait(NamedTuple):
    """A trait of users: either `head_I` or `group_U` is given."""

    head_I: np.ndarray | None = None
    """Mask of head items, by item_idx."""
    group_U: np.ndarray | None = None
    """Group by user_idx; -1: the user is left out."""
    groups: int = 1

    @property
    def contrasts(self) -> int:
        """G. Two groups need one contrast."""
        return 1 if self.groups <= 2 else self.groups


class UserSums(NamedTuple):
    """Sums over users, float64."""

    users: int
    y_G: np.ndarray
    yy_G: np.ndarray
    z_H: np.ndarray
    zz_H: np.ndarray
    zy_GH: np.ndarray

    def plus(self, other: UserSums) -> UserSums:
        return UserSums(
            self.users + other.users,
            self.y_G + other.y_G,
            self.yy_G + other.yy_G,
            self.z_H + other.z_H,
            self.zz_H + other.zz_H,
            self.zy_GH + other.zy_GH,
        )


class TraitLatents(NamedTuple):
    """Latents whose correlation is significant after correction, from the largest |r| down."""

    latent_N: np.ndarray
    r_N: np.ndarray
    """Correlation with the trait for which |r| is largest."""
    trait_N: np.ndarray
    q_N: np.ndarray
    """Corrected p."""
    users: int
    tested: int
    """Number of pairs of a latent and a trait."""
    alive_N: np.ndarray
    """All latents that vary over users, correlated or not."""


class _ShardTask(NamedTuple):
    activations: Committed
    sae: Folder
    trait: Trait
    device: str


def find(activations: Committed, sae: Folder, trait: Trait, device: str = "cpu") -> TraitLatents:
    """Latents that correlate with the trait over explain users, by a task for the shards of each chunk of users."""
    task = _ShardTask(activations, sae, trait, device)
    found = tasks.over(_of_shards, task, _by_chunk(activations), "latents of the trait", "chunks", device)
    return correlated(functools.reduce(UserSums.plus, found))


def correlated(sums: UserSums) -> TraitLatents:
    """Latents with significant correlations, from the sums; constant latents are excluded."""
    n = max(sums.users, 1)
    z_H, zz_H = sums.z_H / n, sums.zz_H / n
    spread_H = zz_H - z_H**2
    varies_H = spread_H > CONSTANT * zz_H
    spread_G = sums.yy_G / n - (sums.y_G / n) ** 2
    alive_N = np.flatnonzero(varies_H)
    if sums.users < 3 or not len(alive_N) or not (spread_G > 0).any():
        none = np.zeros(0)
        return TraitLatents(none.astype(np.int64), none, none.astype(np.int64), none, sums.users, 0, alive_N)
    covariance_GH = sums.zy_GH / n - np.outer(sums.y_G / n, z_H)
    with np.errstate(divide="ignore", invalid="ignore"):
        r_GH = covariance_GH / np.sqrt(np.outer(spread_G, spread_H))
        r_GH = np.where(varies_H & (spread_G > 0)[:, None], r_GH, 0.0).clip(-1, 1)
        t_GH = np.abs(r_GH) * np.sqrt((n - 2) / (1 - r_GH**2))
    p_GH = 2 * stats.t.sf(t_GH, n - 2)
    q_GH = np.ones_like(p_GH)
    q_GH[:, varies_H] = stats.false_discovery_control(p_GH[:, varies_H], axis=None).reshape(len(p_GH), -1)
    trait_H = np.abs(r_GH).argmax(0)
    latent_H = np.arange(len(trait_H))
    r_H, q_H = r_GH[trait_H, latent_H], q_GH[trait_H, latent_H]
    kept = np.flatnonzero(q_H < FDR)
    kept = kept[np.argsort(-np.abs(r_H[kept]), kind="stable")]
    return TraitLatents(kept, r_H[kept], trait_H[kept], q_H[kept], sums.users, len(alive_N) * len(r_GH), alive_N)


def of_table(table: pa.Table, sae: Sae, trait: Trait, device: str = "cpu") -> UserSums:
    """Sums over the explain users of one table, which holds all of their cases."""
    rows_B = np.flatnonzero(table["part"].to_numpy() == PARTS.index("explain"))
    user_B = table["user_idx"].to_numpy()[rows_B]
    if trait.head_I is not None:
        item_B = pc.fill_null(table["item_idx" if _on_items(table) else "top_idx"], -1).to_numpy()[rows_B]
        known_B = item_B >= 0
        rows_B, user_B = rows_B[known_B], user_B[known_B]
        y_BG = trait.head_I[item_B[known_B]].astype(np.float64)[:, None]
    else:
        assert trait.group_U is not None
        known_B = trait.group_U[user_B] >= 0
        rows_B, user_B = rows_B[known_B], user_B[known_B]
        y_BG = (trait.group_U[user_B][:, None] == np.arange(trait.contrasts)).astype(np.float64)
    users, row_B, cases_U = np.unique(user_B, return_inverse=True, return_counts=True)
    mean_UB = sparse.csr_array((1 / cases_U[row_B], (row_B, np.arange(len(row_B)))), shape=(len(users), len(row_B)))
    z_UH = sparse.csr_array((len(users), sae.num_latents))
    vectors_BD = shards.vectors(table)
    for start in range(0, len(rows_B), ROWS_AT_ONCE):
        some = rows_B[start : start + ROWS_AT_ONCE]
        encoded = sae.encode(torch.from_numpy(vectors_BD[some]).to(device))
        z_BH = as_matrix(encoded.index_BK.cpu().numpy(), encoded.value_BK.cpu().numpy(), sae.num_latents)
        z_UH = z_UH + mean_UB[:, start : start + len(some)] @ z_BH
    y_UG = mean_UB @ y_BG
    return UserSums(
        len(users),
        y_UG.sum(0),
        np.square(y_UG).sum(0),
        np.asarray(z_UH.sum(0)).ravel(),
        np.asarray(z_UH.multiply(z_UH).sum(0)).ravel(),
        np.asarray((z_UH.T @ y_UG).T),
    )


def _of_shards(task: _ShardTask, names: tuple[str, ...]) -> UserSums:
    tables = [shards.read(task.activations.data, name) for name in names]
    return of_table(pa.concat_tables(tables), load(task.sae, task.device), task.trait, task.device)


def _by_chunk(activations: Committed) -> list[tuple[str, ...]]:
    """Names of shards by chunk; a user's cases may be spread over several shards of a chunk."""
    names: Iterator[str] = iter(activations.files(shards.PREFIX))
    return [tuple(some) for _, some in itertools.groupby(names, key=lambda name: name.rpartition("-")[0])]


def _on_items(table: pa.Table) -> bool:
    return bool((table.schema.metadata or {}).get(b"recsae.site") == b"item")
