"""Selects the evidence of every alive latent from a sketch: active cases, non-activating cases, statistics.

Levels are deciles of the latent's own positive activations on explain users. All draws are hashes of the seed.
Non-activating cases come from negatives.py. Shape suffixes: see sketch.py; N nearest latents.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.config.concepts import EvidenceConfig
from recsae.evidence.negatives import CaseGroup, MatchingFeatures, NonActivatingSampler
from recsae.evidence.sketch import CASE_COLUMNS, EXPLAIN, Sketch, priority, runs
from recsae.evidence.top_per_group import Rows, first_per_group
from recsae.schemas.base import ACTIVE_ROLES, PARTS, conform
from recsae.schemas.concepts import EVIDENCE, LATENT_STATS

LEVELS = 10
TOP_ITEMS = 10


class Evidence(NamedTuple):
    """The two tables of the stage."""

    cases: pa.Table
    stats: pa.Table


def select_cases(
    sketch: Sketch,
    popularity: np.ndarray,
    has_term: sparse.csr_matrix,
    view: str,
    config: EvidenceConfig,
    seed: int,
    nearest_HN: np.ndarray | None = None,
) -> Evidence:
    """Evidence and statistics of every latent that fired on explain users.

    `popularity` and the rows of `has_term` are by item. `view` selects a case's item: the recommended one or the last
    input. `nearest_HN` comes from `negatives.nearest`; without it no latent has `near_direction` cases.
    """
    groups: list[CaseGroup] = []
    stats = []
    tops, samples = _by_latent(sketch.top), _by_latent(sketch.sample)
    sampler = NonActivatingSampler(sketch, MatchingFeatures(popularity, has_term, nearest_HN), view, config, seed)
    for latent in np.flatnonzero(sketch.fired_H).tolist():
        edges = _decile_edges(samples[latent])
        active = _active(tops[latent], samples[latent], edges, config, seed)
        groups += active
        groups += sampler.of(latent, active)
        stats.append(_statistics(latent, sketch, edges, active, view))
    return Evidence(_table(groups), conform(pa.Table.from_pylist(stats, LATENT_STATS), LATENT_STATS))


def _by_latent(rows: Rows) -> dict[int, Rows]:
    return {latent: rows.take(span) for latent, span in runs(rows.latent)}


def _decile_edges(sample: Rows) -> np.ndarray:
    """The nine inner deciles of a latent's positive activations on explain users, from its sample."""
    tenths = np.arange(1, LEVELS) / LEVELS
    return np.asarray(np.quantile(sample.activation[sample.part == EXPLAIN], tenths), dtype=np.float32)


def level_of(activation: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Levels 1 to 10 by decile; 0 for a non-activating case."""
    return np.where(activation > 0, 1 + np.searchsorted(edges, activation, side="right"), 0).astype(np.int8)


def _active(top: Rows, sample: Rows, edges: np.ndarray, config: EvidenceConfig, seed: int) -> list[CaseGroup]:
    """The strongest cases, and other cases spread over all levels; at most one per user, part and role."""
    groups = []
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
                # Ranks cycle through the levels, so that the first n cases span the range for any n.
                level = level_of(here.activation, edges)
                turn = np.empty(len(here.latent), dtype=np.int64)
                for value in np.unique(level):
                    turn[level == value] = np.arange((level == value).sum())
                mixed = priority(level.astype(np.int64), here.latent, seed + part)
                here = here.take(np.lexsort((mixed, turn)))
            groups.append((here, level_of(here.activation, edges), role, np.arange(len(here.latent))))
    return groups


def _statistics(
    latent: int, sketch: Sketch, edges: np.ndarray, active: list[CaseGroup], view: str
) -> dict[str, object]:
    explain = [(rows.take(np.flatnonzero(rows.part == EXPLAIN)), role) for rows, _, role, _ in active]
    items = Counter(int(item) for rows, _ in explain for item in rows.item(view))
    digest = hashlib.sha256()
    for rows, role in explain:
        digest.update(role.encode() + rows.case_id.astype("<i8").tobytes())
        digest.update(rows.item(view).astype("<i4").tobytes())  # a retrained model recommends other items
    return {
        "latent": latent,
        "frequency": float(sketch.fired_H[latent] / max(sketch.explain_cases, 1)),
        "activations": int(sketch.fired_H[latent]),
        "maximum": float(sketch.maximum_H[latent]),
        "quantiles": edges.tolist(),
        "top_items": [item for item, _ in sorted(items.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP_ITEMS]],
        "evidence_hash": digest.hexdigest()[:20],
    }


def _table(groups: list[CaseGroup]) -> pa.Table:
    """The evidence table of all groups of cases, sorted by latent, part, role and rank."""
    rows = [group for group in groups if len(group[0].latent)]
    if not rows:
        return EVIDENCE.empty_table()
    sizes = [len(group[0].latent) for group in rows]
    joined = Rows(*(np.concatenate(columns) for columns in zip(*(group[0] for group in rows), strict=True)))
    table = pa.table(
        {
            "latent": joined.latent,
            "part": pa.array(np.array(PARTS, dtype=object)[joined.part], pa.string()),
            "role": pa.array(np.repeat(np.array([group[2] for group in rows], dtype=object), sizes), pa.string()),
            "rank": np.concatenate([group[3] for group in rows]),
            **{name: getattr(joined, name) for name in CASE_COLUMNS},
            "top_idx": pa.array(joined.top_idx, mask=joined.top_idx < 0),
            "activation": joined.activation,
            "level": np.concatenate([group[1] for group in rows]),
        }
    )
    order = [("latent", "ascending"), ("part", "ascending"), ("role", "ascending"), ("rank", "ascending")]
    return conform(table.sort_by(order), EVIDENCE)
