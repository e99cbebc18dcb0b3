"""Ranking metrics of a model on the held-out events of a split, summed over chunks of users.

Counts of ranks are integers, so metrics and intervals do not depend on which worker counts which chunk. Shape suffixes:
see ranking_metrics.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist

from recsae.config.recommender import RankingConfig
from recsae.data.chunks import n_chunks, read_cases, read_chunk
from recsae.hashing import GOLDEN, finalise
from recsae.recommenders.base import Recommender, Trainable
from recsae.recommenders.ranking import filter_split, rank_chunk
from recsae.stats.ranking_metrics import DEEPEST, count, figures, intervals, resample
from recsae.store.run_store import Committed


class EvaluationPlan(NamedTuple):
    """Which cases are evaluated, and what is measured besides full ranking."""

    ingested: Committed
    split: str
    seed: int
    users: int | None
    """Approximate number of users, sampled by the seed; None: all."""
    negatives: int = 0
    """Sampled items among which each target is ranked as well; 0: none."""
    resamples: int = 0
    """Bootstrap resamples of users for the intervals."""


class RankingMetrics(NamedTuple):
    """HR and NDCG of full ranking with `[low, high]` of each, and `sampled_…` among sampled items if requested."""

    metrics: dict[str, float]
    intervals: dict[str, list[float]]


def quick_plan(ingested: Committed, split: str, seed: int, config: RankingConfig) -> EvaluationPlan:
    """Full ranking only, as used after every epoch."""
    return EvaluationPlan(ingested, split, seed, config.users)


def full_plan(ingested: Committed, split: str, seed: int, config: RankingConfig) -> EvaluationPlan:
    """Full ranking with intervals, and with sampled items if the config sets them."""
    return EvaluationPlan(ingested, split, seed, config.users, config.sampled_negatives, config.bootstrap)


def evaluate(model: Trainable, plan: EvaluationPlan, rank: int, world: int, device: str) -> RankingMetrics:
    """Metrics over all chunks; each of `world` workers counts every `world`-th one."""
    model.eval()
    model.refresh()
    count_SK = np.zeros((2 + plan.resamples, DEEPEST + 1), dtype=np.int64)
    for number in range(rank, n_chunks(plan.ingested), world):
        count_SK += count_chunk(model, plan, number, device)
    if world > 1:
        total = torch.from_numpy(count_SK).to(device)
        dist.all_reduce(total)
        count_SK = total.cpu().numpy()
    return to_metrics(count_SK, plan)


def count_chunk(model: Recommender, plan: EvaluationPlan, number: int, device: str) -> np.ndarray:
    """Rank counts of one chunk: row 0 of full ranking, row 1 among sampled items, then the resamples of row 0."""
    cases = filter_split(read_cases(plan.ingested, number), plan.split)
    if plan.users is not None:
        share = plan.users / plan.ingested.metrics["users"]
        cases = cases.filter(pa.array(in_sample(cases["user_idx"].to_numpy(), share, plan.seed)))
    chunk = read_chunk(plan.ingested, number)
    ranked = rank_chunk(model, chunk, cases, device, plan.negatives, plan.seed)
    draw = np.random.default_rng((plan.seed, 2, number))
    resampled = resample(ranked.full_C, cases["user_idx"].to_numpy(), plan.resamples, draw)
    return np.concatenate([[count(ranked.full_C)], [count(ranked.sampled_C)], resampled])


def to_metrics(count_SK: np.ndarray, plan: EvaluationPlan) -> RankingMetrics:
    """Metrics of the sum of `count_chunk` over all chunks."""
    metrics = figures(count_SK[0])
    if plan.negatives:
        metrics |= {f"sampled_{name}": value for name, value in figures(count_SK[1]).items()}
    return RankingMetrics(metrics, intervals(count_SK[2:]) if plan.resamples else {})


def held_out_cases(
    ingested: Committed,
    number: int,
    part: str | None,
    users: int | None,
    seed: int,
    splits: Sequence[str] = ("test",),
) -> pa.Table:
    """Cases of one chunk whose target is in `splits`, of the users of a part or of a sample of about `users` of them.

    Without a part, all of them, whatever `users` is.
    """
    read = read_cases(ingested, number)
    cases = pa.concat_tables([filter_split(read, split, part) for split in splits])
    if part is None or users is None:
        return cases
    share = users / ingested.metrics["users_by_part"][part]
    return cases.filter(pa.array(in_sample(cases["user_idx"].to_numpy(), share, seed)))


def in_sample(user_idx: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which of the users are in a random sample of `share` of all: those with the smallest hashes."""
    with np.errstate(over="ignore"):
        mixed = (user_idx.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0xD1342543DE82EF95)) * GOLDEN
    return np.asarray(finalise(mixed) / 2**64 < share)
