"""The figures of a model over the held-out events of a split, added up from chunks of users.

Counts of ranks are integers, so figures and intervals are the same whoever counts which chunk. It knows chunks and
counts, and nothing of how the model was trained. Suffixes: see ranking_metrics.py.
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
    """What is counted: over which cases, and what besides full ranking."""

    ingested: Committed
    split: str
    seed: int
    users: int | None
    """So many users, about, drawn by the seed; None: all."""
    negatives: int = 0
    """Each target is ranked among so many sampled items as well."""
    resamples: int = 0
    """Resamples of users behind the intervals."""


class RankingMetrics(NamedTuple):
    """HR and NDCG of full ranking with `[low, high]` of each, and, as `sampled_…`, among sampled items where asked."""

    metrics: dict[str, float]
    intervals: dict[str, list[float]]


def quick_plan(ingested: Committed, split: str, seed: int, config: RankingConfig) -> EvaluationPlan:
    """Full ranking and no more: what every epoch is judged by."""
    return EvaluationPlan(ingested, split, seed, config.users)


def full_plan(ingested: Committed, split: str, seed: int, config: RankingConfig) -> EvaluationPlan:
    """With intervals, and with sampled items if the config asks for them."""
    return EvaluationPlan(ingested, split, seed, config.users, config.sampled_negatives, config.bootstrap)


def evaluate(model: Trainable, survey: EvaluationPlan, rank: int, world: int, device: str) -> RankingMetrics:
    """Every worker counts every `world`-th chunk; all of them get the figures of the whole."""
    model.eval()
    model.refresh()
    count_SK = np.zeros((2 + survey.resamples, DEEPEST + 1), dtype=np.int64)
    for number in range(rank, n_chunks(survey.ingested), world):
        count_SK += count_chunk(model, survey, number, device)
    if world > 1:
        total = torch.from_numpy(count_SK).to(device)
        dist.all_reduce(total)
        count_SK = total.cpu().numpy()
    return to_metrics(count_SK, survey)


def count_chunk(model: Recommender, survey: EvaluationPlan, number: int, device: str) -> np.ndarray:
    """Counts of one chunk: row 0 of full ranking, row 1 among sampled items, then the resamples of row 0."""
    cases = filter_split(read_cases(survey.ingested, number), survey.split)
    if survey.users is not None:
        share = survey.users / survey.ingested.metrics["users"]
        cases = cases.filter(pa.array(in_sample(cases["user_idx"].to_numpy(), share, survey.seed)))
    chunk = read_chunk(survey.ingested, number)
    ranked = rank_chunk(model, chunk, cases, device, survey.negatives, survey.seed)
    draw = np.random.default_rng((survey.seed, 2, number))
    resampled = resample(ranked.full_C, cases["user_idx"].to_numpy(), survey.resamples, draw)
    return np.concatenate([[count(ranked.full_C)], [count(ranked.sampled_C)], resampled])


def to_metrics(count_SK: np.ndarray, survey: EvaluationPlan) -> RankingMetrics:
    """Figures of the sum of `count_chunk` over all chunks."""
    found = figures(count_SK[0])
    if survey.negatives:
        found |= {f"sampled_{name}": value for name, value in figures(count_SK[1]).items()}
    return RankingMetrics(found, intervals(count_SK[2:]) if survey.resamples else {})


def held_out_cases(
    ingested: Committed,
    number: int,
    part: str | None,
    users: int | None,
    seed: int,
    splits: Sequence[str] = ("test",),
) -> pa.Table:
    """Cases of one chunk whose target is held out: of a part, or of those of its users that are drawn, so many, about.

    Without a part all of them, whatever `users` is.
    """
    read = read_cases(ingested, number)
    cases = pa.concat_tables([filter_split(read, split, part) for split in splits])
    if part is None or users is None:
        return cases
    share = users / ingested.metrics["users_by_part"][part]
    return cases.filter(pa.array(in_sample(cases["user_idx"].to_numpy(), share, seed)))


def in_sample(user_idx: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which users belong to a random share of all: those with the smallest hashes."""
    with np.errstate(over="ignore"):
        mixed = (user_idx.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0xD1342543DE82EF95)) * GOLDEN
    return np.asarray(finalise(mixed) / 2**64 < share)
