"""From a sketch to the evidence of every living latent: active cases, silent controls, near misses, statistics.

Levels are deciles of the latent's own positive activations on explain users. Silent cases are half random, half as
popular as the active ones; near misses share attributes with them. All draws are hashes of the seed. It knows sketches
and the vocabulary, and nothing of how they were streamed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.concepts.sketch import CASE_COLUMNS, Rows, Sketch, first_per_group, priority, runs
from recsae.config import EvidenceConfig
from recsae.schemas import ACTIVE_ROLES, EVIDENCE, LATENT_STATS, NEAR_MISS, PARTS, conform

LEVELS = 10
TOP_ITEMS = 10


Piece = tuple[Rows, np.ndarray, str, np.ndarray]
"""Rows of one role of one latent and part, their levels, the role, their ranks."""


class Evidence(NamedTuple):
    """The two tables of the stage."""

    cases: pa.Table
    stats: pa.Table


def choose(
    sketch: Sketch, popularity: np.ndarray, bears: sparse.csr_matrix, view: str, config: EvidenceConfig, seed: int
) -> Evidence:
    """Evidence and statistics of every latent that fired on explain users.

    `popularity` and `bears` are by item; `view` says whether a case's item is the recommended one or the last input.
    """
    alive = np.flatnonzero(sketch.fired_H).tolist()
    edges = _decile_edges(sketch.sample)
    pieces: list[Piece] = []
    stats = []
    by_part = [_Pool.of(sketch, part, popularity, view) for part in range(len(PARTS))]
    tops, samples = _by_latent(sketch.top), _by_latent(sketch.sample)
    for latent in alive:
        active = _active(tops[latent], samples[latent], edges[latent], config, seed)
        likeness = bears @ _liked_terms(active, view, bears)
        pieces += active
        for part, pool in enumerate(by_part):
            pieces += pool.silent(latent, active, part, popularity, likeness, view, config, seed)
        stats.append(_statistics(latent, sketch, edges[latent], active, view))
    return Evidence(_table(pieces), conform(pa.Table.from_pylist(stats, LATENT_STATS), LATENT_STATS))


def _by_latent(rows: Rows) -> dict[int, Rows]:
    order = np.argsort(rows.latent, kind="stable")
    return {latent: rows.take(order[span]) for latent, span in runs(rows.latent[order])}


def _decile_edges(sample: Rows) -> dict[int, np.ndarray]:
    """The nine inner deciles of each latent's positive activations on explain users, from its sample."""
    explain = sample.take(np.flatnonzero(sample.part == PARTS.index("explain")))
    tenths = np.arange(1, LEVELS) / LEVELS
    return {
        latent: np.quantile(rows.activation, tenths).astype(np.float32) for latent, rows in _by_latent(explain).items()
    }


def level_of(activation: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """1 to 10 by decile; 0 for a silent case."""
    return np.where(activation > 0, 1 + np.searchsorted(edges, activation, side="right"), 0).astype(np.int8)


def _active(top: Rows, sample: Rows, edges: np.ndarray, config: EvidenceConfig, seed: int) -> list[Piece]:
    """The strongest cases, and cases across all levels that are not among them, one a user in each part."""
    pieces = []
    spread = sample.take(np.flatnonzero(~np.isin(sample.case_id, top.case_id)))
    drawn = priority(spread.case_id, spread.latent, seed)
    spread = spread.take(first_per_group((spread.part, spread.user_idx), (drawn, spread.case_id), 1))
    levels = level_of(spread.activation, edges)
    drawn = priority(spread.case_id, spread.latent, seed)
    spread = spread.take(first_per_group((spread.part, levels), (drawn, spread.case_id), config.level))
    for part in range(len(PARTS)):
        for role, rows in zip(ACTIVE_ROLES, (top, spread), strict=True):
            here = rows.take(np.flatnonzero(rows.part == part))
            if role == "top":
                here = here.take(np.lexsort((here.case_id, -here.activation)))
            else:
                # Ranks go round the levels, so that any first n of them span the range.
                level = level_of(here.activation, edges)
                turn = np.empty(len(here.latent), dtype=np.int64)
                for value in np.unique(level):
                    turn[level == value] = np.arange((level == value).sum())
                mixed = priority(level.astype(np.int64), here.latent, seed + part)
                here = here.take(np.lexsort((mixed, turn)))
            pieces.append((here, level_of(here.activation, edges), role, np.arange(len(here.latent))))
    return pieces


def _view_item(rows: Rows, view: str) -> np.ndarray:
    return rows.top_idx if view == "recommended" else rows.item_idx


def _liked_terms(active: list[Piece], view: str, bears: sparse.csr_matrix) -> np.ndarray:
    """How much more often each term occurs in the explain evidence than in the catalogue, `(terms,)`; at least 0."""
    items = np.concatenate([_view_item(rows, view)[rows.part == PARTS.index("explain")] for rows, *_ in active])
    if not len(items):
        return np.zeros(bears.shape[1], dtype=np.float32)
    share = np.asarray(bears[items].mean(axis=0)).ravel() - np.asarray(bears.mean(axis=0)).ravel()
    return np.maximum(share, 0)


class _Pool(NamedTuple):
    """Cases of one part among which silent ones are sought."""

    cases: Rows
    active_PK: np.ndarray
    log_popularity: np.ndarray

    @staticmethod
    def of(sketch: Sketch, part: int, popularity: np.ndarray, view: str) -> _Pool:
        here = np.flatnonzero(sketch.pool.part == part)
        cases = sketch.pool.take(here)
        return _Pool(cases, sketch.active_PK[here], np.log1p(popularity[_view_item(cases, view)]))

    def silent(
        self,
        latent: int,
        active: list[Piece],
        part: int,
        popularity: np.ndarray,
        likeness: np.ndarray,
        view: str,
        config: EvidenceConfig,
        seed: int,
    ) -> list[Piece]:
        """Random, popularity-matched and near-miss cases in which the latent is silent, one a user and role."""
        order = np.argsort(priority(self.cases.case_id, latent, seed), kind="stable")
        order = order[~(self.active_PK[order] == latent).any(axis=1)]
        _, first = np.unique(self.cases.user_idx[order], return_index=True)
        spread = order[np.sort(first)]
        random, rest = spread[: config.random], spread[config.random :]
        if len(rest) < config.popularity:  # few users: other cases of theirs
            rest = order[~np.isin(order, random)]
        wanted = np.concatenate([_view_item(rows, view)[rows.part == part] for rows, *_ in active])
        matched = _closest(np.log1p(popularity[wanted]), self.log_popularity[rest], config.popularity)
        popular = rest[matched]
        like = likeness[_view_item(self.cases, view)[order]]
        near = order[np.argsort(-like, kind="stable")[: 4 * config.near_miss]]
        near = near[(likeness[_view_item(self.cases, view)[near]] > 0) & ~np.isin(near, [*random, *popular])]
        _, first = np.unique(self.cases.user_idx[near], return_index=True)
        near = near[np.sort(first)][: config.near_miss]
        return [
            (
                self.cases.take(index)._replace(latent=np.full(len(index), latent, dtype=np.int32)),
                np.zeros(len(index), dtype=np.int8),
                role,
                np.arange(len(index)),
            )
            for role, index in (("random", random), ("popularity", popular), (NEAR_MISS, near))
        ]


def _closest(wanted: np.ndarray, offered: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` offers, each the closest left to one of `wanted` in turn."""
    if not len(wanted):
        return np.empty(0, dtype=np.int64)
    distance = np.abs(offered[None, :] - wanted[:, None])
    chosen = []
    for turn in range(min(count, len(offered))):
        nearest = int(distance[turn % len(wanted)].argmin())
        chosen.append(nearest)
        distance[:, nearest] = np.inf
    return np.array(chosen, dtype=np.int64)


def _statistics(latent: int, sketch: Sketch, edges: np.ndarray, active: list[Piece], view: str) -> dict[str, object]:
    explain = [(rows.take(np.flatnonzero(rows.part == PARTS.index("explain"))), role) for rows, _, role, _ in active]
    items = Counter(int(item) for rows, _ in explain for item in _view_item(rows, view))
    digest = hashlib.sha256()
    for rows, role in explain:
        digest.update(role.encode() + rows.case_id.astype("<i8").tobytes())
        digest.update(_view_item(rows, view).astype("<i4").tobytes())  # a model trained anew recommends other items
    return {
        "latent": latent,
        "frequency": float(sketch.fired_H[latent] / max(sketch.explain_cases, 1)),
        "activations": int(sketch.fired_H[latent]),
        "maximum": float(sketch.maximum_H[latent]),
        "quantiles": edges.tolist(),
        "top_items": [item for item, _ in sorted(items.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP_ITEMS]],
        "evidence_hash": digest.hexdigest()[:20],
    }


def _table(pieces: list[Piece]) -> pa.Table:
    """All pieces as the evidence table, sorted by latent, part, role and rank."""
    rows = [piece for piece in pieces if len(piece[0].latent)]
    if not rows:
        return EVIDENCE.empty_table()
    sizes = [len(piece[0].latent) for piece in rows]
    joined = Rows(*(np.concatenate(columns) for columns in zip(*(piece[0] for piece in rows), strict=True)))
    table = pa.table(
        {
            "latent": joined.latent,
            "part": pa.array(np.array(PARTS, dtype=object)[joined.part], pa.string()),
            "role": pa.array(np.repeat(np.array([piece[2] for piece in rows], dtype=object), sizes), pa.string()),
            "rank": np.concatenate([piece[3] for piece in rows]),
            **{name: getattr(joined, name) for name in CASE_COLUMNS},
            "top_idx": pa.array(joined.top_idx, mask=joined.top_idx < 0),
            "activation": joined.activation,
            "level": np.concatenate([piece[1] for piece in rows]),
        }
    )
    order = [("latent", "ascending"), ("part", "ascending"), ("role", "ascending"), ("rank", "ascending")]
    return conform(table.sort_by(order), EVIDENCE)
