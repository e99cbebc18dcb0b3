"""Recommendations for users as they stand today, a chunk of users at a time: by the clean model, or steered.

It knows chunks, the recommender and operations, and neither policies nor where the rows go. Suffixes: see
recommenders/base.py; k first items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recsae.data.chunks import Chunk, n_chunks, read_chunk
from recsae.distributed import tasks
from recsae.recommenders import registry, topk
from recsae.recommenders.base import Recommender, last_position
from recsae.recommenders.topk import Scorer, top_k
from recsae.sae import model as saes
from recsae.schemas.base import conform
from recsae.schemas.steering import RECOMMENDATIONS
from recsae.steering.operations import Operation, Steering
from recsae.steering.steered import SteeredRecommender
from recsae.steering.user_batches import batches
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed


class RecommendationRequest(NamedTuple):
    """For whom, how many items, by which model."""

    ingested: Committed
    recommender: Committed
    site: str
    k: int
    wanted: np.ndarray | None = None
    """user_idx; None: all users."""
    sae: Folder | None = None
    operations: tuple[Operation, ...] = ()
    steered: np.ndarray | None = None
    """user_idx of those whose model is steered; None: all. Other users get the clean one."""
    device: str = "cpu"


class Recommended(NamedTuple):
    """A chunk's rows, by user and rank, in the schema RECOMMENDATIONS."""

    table: pa.Table
    users: int
    """Who have a row."""
    steered: int


def recommend(asked: RecommendationRequest) -> Iterator[Recommended]:
    """Chunk by chunk, in order, by a task each."""
    return tasks.over(of_chunk, asked, range(n_chunks(asked.ingested)), "recommending", "chunks", asked.device)


def of_chunk(asked: RecommendationRequest, number: int) -> Recommended:
    """The users of one chunk who are asked for, ascending by user_idx. Nothing that a user had is recommended."""
    chunk = read_chunk(asked.ingested, number)
    model = registry.load(asked.recommender, asked.site, asked.device)
    wanted = chunk.users if asked.wanted is None else np.intersect1d(chunk.users, asked.wanted)
    steered = wanted[:0]
    if asked.operations:
        steered = wanted if asked.steered is None else np.intersect1d(wanted, asked.steered)
    found = [_first(model, chunk, np.setdiff1d(wanted, steered), asked)]
    if len(steered):
        assert asked.sae is not None
        steering = Steering(saes.load(asked.sae, asked.device), asked.operations)
        found.append(_first(SteeredRecommender(model, steering), chunk, steered, asked))
    user_X, item_Xk, score_Xk = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(user_X, kind="stable")
    some = item_Xk[order] >= 0
    table = _table(asked.ingested, user_X[order], item_Xk[order], score_Xk[order], some)
    return Recommended(table, int(some.any(1).sum()), len(steered))


@torch.inference_mode()
def _first(
    model: Recommender, chunk: Chunk, users: np.ndarray, asked: RecommendationRequest
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users of a chunk, their first items `(X, k)` and scores."""
    empty = np.zeros((0, asked.k))
    found = [(users[:0], empty.astype(np.int32), empty.astype(np.float32))]
    for user_B, histories, seen in batches(chunk, users, model, asked.device):
        if isinstance(model, SteeredRecommender):
            u_BU = model.ending(model.model.probe(histories), histories)
        else:
            u_BU = last_position(model.proceed(model.probe(histories), histories), histories)
        item_Bk = top_k(model, u_BU, seen, asked.k)
        found.append((user_B, item_Bk, scores_of(model, u_BU, item_Bk)))
    user_X, item_Xk, score_Xk = (np.concatenate(column) for column in zip(*found, strict=True))
    return user_X, item_Xk, score_Xk


def scores_of(model: Scorer, u_BU: Tensor, item_Bk: np.ndarray) -> np.ndarray:
    """The scores `(B, k)` of some items of each user, float32, a block at a time; NaN for the item -1."""
    item = torch.from_numpy(item_Bk.astype(np.int64)).to(u_BU.device)
    found_Bk = torch.full(item.shape, torch.nan, device=u_BU.device)
    at_once = max(1, topk.SCORES_PER_BLOCK // max(len(u_BU), 1))
    for start in range(0, model.n_items, at_once):
        stop = min(start + at_once, model.n_items)
        inside_Bk = (item >= start) & (item < stop)
        if inside_Bk.any():
            here_Bk = model.scores(u_BU, start, stop).gather(1, (item - start).clamp(0, stop - start - 1))
            found_Bk = torch.where(inside_Bk, here_Bk.float(), found_Bk)
    return found_Bk.cpu().numpy()


def _table(
    ingested: Committed, user_X: np.ndarray, item_Xk: np.ndarray, score_Xk: np.ndarray, some_Xk: np.ndarray
) -> pa.Table:
    """Rows where there is an item."""
    items = ingested.read_table("items.parquet", ["item_id", "title"]).take(pa.array(item_Xk[some_Xk]))
    users = ingested.read_table("users.parquet", ["user_idx", "user_id"]).sort_by("user_idx")
    row_N, rank_N = np.nonzero(some_Xk)
    columns = {
        "user_id": users["user_id"].take(pa.array(user_X[row_N])),
        "rank": pa.array(rank_N + 1),
        "item_id": items["item_id"],
        "title": items["title"],
        "score": pa.array(score_Xk[some_Xk]),
    }
    return conform(pa.table(columns), RECOMMENDATIONS)
