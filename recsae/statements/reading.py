"""Reads shards of activations as cases: what statements see of them, and which latents fire.

Null latents stand beside the SAE's own: null latent `num_latents + n` fires where the latent `plan.nulls[n]` fires in a
case of another user. What the search finds for them is what searching alone finds. Shape suffixes: B cases, L events, A
pairs of a case and a latent that fires in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from recsae.data.chunks import Chunk, chunk_of, read_chunk
from recsae.hashing import keyed
from recsae.sae import model
from recsae.sae.model import MAX_FLOATS_PER_BLOCK, Sae
from recsae.schemas.base import PARTS
from recsae.statements import behaviour
from recsae.statements.behaviour import About
from recsae.statements.evaluation import Cases
from recsae.statements.language import HISTORY
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

USER_GROUPS = 32
"""Groups of users, drawn by a hash of their number, over which intervals are formed."""


class ReadingPlan(NamedTuple):
    """What to read; the same for all shards."""

    ingested: Committed
    activations: Committed
    sae: Folder
    num_latents: int
    about: About
    """What behaviours read about items and times."""
    nulls: np.ndarray
    """Latents whose activations are dealt to other users' cases."""
    has_history: bool
    """Whether cases are positions of users; at the site `item` they are items."""
    seed: int


class ShardCases(NamedTuple):
    """The cases of one part in one shard, in the order of the shard."""

    cases: Cases
    group_B: np.ndarray
    """int64 group of the user, below USER_GROUPS."""
    case_A: np.ndarray
    latent_A: np.ndarray
    """int64, sorted; null latents follow the SAE's."""
    activation_A: np.ndarray


def read_part(plan: ReadingPlan, name: str, part: str) -> ShardCases:
    """The cases of one part of the users in one shard."""
    table = _table(plan, name, part)
    user_B = _users(table)
    group_B = (keyed(user_B, plan.seed) % np.uint64(USER_GROUPS)).astype(np.int64)
    case_A, latent_A, activation_A = active_pairs(model.load(plan.sae), shards.vectors(table))
    dealt = _dealt(plan, user_B, case_A, latent_A, activation_A)
    pairs = [np.concatenate(column) for column in zip((case_A, latent_A, activation_A), dealt, strict=True)]
    order = np.argsort(pairs[1], kind="stable")
    return ShardCases(_cases(plan, table), group_B, *(column[order] for column in pairs))


def read_behaviours(plan: ReadingPlan, name: str, part: str) -> Mapping[str, np.ndarray]:
    """The behaviours of the cases of `read_part`, without encoding them."""
    return _cases(plan, _table(plan, name, part)).behaviour


def _table(plan: ReadingPlan, name: str, part: str) -> pa.Table:
    table = shards.read(plan.activations.data, name)
    return table.filter(pa.compute.equal(table["part"], PARTS.index(part))).combine_chunks()


def _users(table: pa.Table) -> np.ndarray:
    return np.asarray(table["user_idx"].to_numpy().astype(np.int64))


def _cases(plan: ReadingPlan, table: pa.Table) -> Cases:
    recommended_B, last_B = shards.items(table, "recommended"), shards.items(table, "input")
    return _with_history(plan, _users(table), table["position"].to_numpy(), recommended_B, last_B)


def active_pairs(sae: Sae, vectors_BD: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Case, latent and activation of every latent that fires, `(A,)` each."""
    at_once = max(1, MAX_FLOATS_PER_BLOCK // sae.num_latents)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(vectors_BD), at_once):
        with torch.inference_mode():
            encoded = sae.encode(torch.from_numpy(vectors_BD[start : start + at_once].copy()))
        index_BK, value_BK = encoded.index_BK.numpy(), encoded.value_BK.numpy()
        row, column = np.nonzero(value_BK > 0)
        found.append((row + start, index_BK[row, column].astype(np.int64), value_BK[row, column]))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    case_A, latent_A, activation_A = (np.concatenate(column) for column in zip(*found, strict=True))
    return case_A, latent_A, activation_A


def _dealt(
    plan: ReadingPlan, user_B: np.ndarray, case_A: np.ndarray, latent_A: np.ndarray, activation_A: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of the null latents: those of `plan.nulls`, moved on by half the cases, so to another user's.

    Moving keeps the runs in which neighbouring cases fire together. Within their new user they are turned by a number
    of cases drawn for them, so that what fires early in a history fires anywhere. Pairs that stay with their user are
    left out.
    """
    place_of = np.full(plan.num_latents, -1, dtype=np.int64)
    place_of[plan.nulls] = np.arange(len(plan.nulls))
    chosen = place_of[latent_A] >= 0
    to_A = _turned(plan, user_B)[(case_A[chosen] + len(user_B) // 2) % max(len(user_B), 1)]
    other = user_B[to_A] != user_B[case_A[chosen]]
    latents = plan.num_latents + place_of[latent_A[chosen][other]]
    return to_A[other], latents, activation_A[chosen][other]


def _turned(plan: ReadingPlan, user_B: np.ndarray) -> np.ndarray:
    """Each case's place after its user's cases, which follow one another, were turned by a number drawn for them."""
    starts = np.flatnonzero(np.diff(user_B, prepend=-1))
    length = np.diff(starts, append=len(user_B))
    turn = (keyed(user_B[starts], plan.seed + 1) % length.astype(np.uint64)).astype(np.int64)
    start_B, length_B, turn_B = (np.repeat(of_user, length) for of_user in (starts, length, turn))
    return np.asarray(start_B + (np.arange(len(user_B)) - start_B + turn_B) % length_B)


def _with_history(
    plan: ReadingPlan, user_B: np.ndarray, position_B: np.ndarray, recommended_B: np.ndarray, last_B: np.ndarray
) -> Cases:
    history_BL = np.full((len(user_B), HISTORY), -1, dtype=np.int32)
    if not plan.has_history:
        return Cases(recommended_B, last_B, history_BL, {})
    timed = plan.about.clock is not None
    time_BT = np.zeros((len(user_B), 2), dtype=np.int64) if timed else None
    chunks_B = chunk_of(plan.ingested, user_B)
    for number in np.unique(chunks_B).tolist():
        rows = np.flatnonzero(chunks_B == number)
        chunk = read_chunk(plan.ingested, number, with_times=timed)
        event_BL = events_before(chunk, user_B[rows], position_B[rows])
        history_BL[rows] = np.where(event_BL >= 0, chunk.items[event_BL.clip(max=len(chunk.items) - 1)], -1)
        if time_BT is not None and chunk.times is not None:
            time_BT[rows] = chunk.times[event_BL[:, :2].clip(max=len(chunk.items) - 1)]
    return Cases(recommended_B, last_B, history_BL, behaviour.features(history_BL, position_B, plan.about, time_BT))


def events_before(chunk: Chunk, user_B: np.ndarray, position_B: np.ndarray) -> np.ndarray:
    """Where the last ten events before each position stand in the chunk, latest first, `(B, L)` int64; -1 pads."""
    row_B = np.searchsorted(chunk.users, user_B)
    event_BL = position_B[:, None].astype(np.int64) - 1 - np.arange(HISTORY)
    return np.where(event_BL >= 0, chunk.offsets[row_B][:, None] + event_BL, -1)


def names(activations: Committed) -> Sequence[str]:
    """The shards, in order."""
    return activations.files(shards.PREFIX)
