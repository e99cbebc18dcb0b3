"""Explanations of many users as one Parquet file: Ray tasks of some users each, written as they come.

It knows committed stages, names of concepts and Ray, and not how a score is split (explaining.py). Suffixes: see
explaining.py; N strongest latents of an item, R rows.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from ray.exceptions import RayTaskError

from recsae.data.chunks import chunk_of, read_chunk
from recsae.distributed import tasks
from recsae.errors import BadInput
from recsae.explain.explainer import TOP, Explained, Explainer
from recsae.recommenders import registry
from recsae.sae import model
from recsae.schemas.base import conform
from recsae.schemas.steering import EXPLANATIONS
from recsae.steering.user_batches import Present, batches, user_ids
from recsae.store.atomic_output import atomic_parquet_writer
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

log = logging.getLogger(__name__)

USERS_A_TASK = 5000
"""Of one chunk; a bound on the memory of what tasks hand back, ten rows a user."""


class Names(NamedTuple):
    """What the stage `concepts` says of each latent."""

    name_H: np.ndarray
    """object: None where it has no name."""
    interpretable_H: np.ndarray

    @classmethod
    def read(cls, concepts: Committed, sae: Folder) -> Names:
        """Of all latents of the SAE in the folder; those that never fired for the dictionary have no name."""
        num_latents: int = sae.read_json(model.CONFIG)["num_latents"]
        table = concepts.read_table("concepts.parquet", ["latent", "name", "interpretable"])
        found = cls(np.full(num_latents, None, dtype=object), np.zeros(num_latents, dtype=bool))
        latents = table["latent"].to_numpy()
        found.name_H[latents] = table["name"].to_pylist()
        found.interpretable_H[latents] = table["interpretable"].to_numpy(zero_copy_only=False)
        return found


class ExplanationRequest(NamedTuple):
    """What is explained, and by what: the same for all users."""

    ingested: Committed
    recommender: Committed
    sae: Folder
    site: str
    names: Names
    concepts: int
    """N."""
    device: str = "cpu"

    def explainer(self) -> Explainer:
        """The model is read anew."""
        return Explainer(registry.load(self.recommender, self.site, self.device), model.load(self.sae, self.device))


def strongest(found: Explained, number: int) -> np.ndarray:
    """Places along K of the latents that set each item furthest apart from the average item, first the furthest.

    `(B, T, N)`, -1 where fewer are active. It is the size of `beyond` that counts: what a latent gives to every item
    alike ranks none of them.
    """
    size_BTK = np.where(found.latent_BTK >= 0, np.abs(found.beyond.contribution_BTK), -1)
    place_BTN = np.argsort(-size_BTK, axis=2, kind="stable")[:, :, :number]
    return np.where(np.take_along_axis(size_BTK, place_BTN, 2) >= 0, place_BTN, -1)


def rows(found: Explained, asked: ExplanationRequest, user_id_B: np.ndarray, item_ids: pa.ChunkedArray) -> pa.Table:
    """One row an item, by user and rank."""
    place_BTN = strongest(found, asked.concepts)
    there_BT = found.item_BT >= 0
    place_RN = place_BTN[there_BT]
    listed_RN = place_RN >= 0
    offsets = pa.array(np.concatenate([[0], listed_RN.sum(1).cumsum()]), pa.int32())

    def lists(of_BTK: np.ndarray) -> np.ndarray:
        return np.asarray(np.take_along_axis(of_BTK[there_BT], place_RN.clip(min=0), 1)[listed_RN])

    def column(values: np.ndarray) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.array(values))

    item, beyond, latents = found.item, found.beyond, lists(found.latent_BTK)
    contribution_RK = item.contribution_BTK[there_BT]
    listed_R = np.where(listed_RN, np.take_along_axis(contribution_RK, place_RN.clip(min=0), 1), 0).sum(1)
    columns: dict[str, Any] = {
        "user_id": np.repeat(user_id_B, there_BT.sum(1)),
        "rank": found.rank_BT[there_BT],
        "item_id": item_ids.take(pa.array(found.item_BT[there_BT])),
        "score": item.score_BT[there_BT],
        "average_score": found.average.score_BT[there_BT],
        "exact": np.full(len(place_RN), found.exact),
        "latents": column(latents),
        "names": pa.ListArray.from_arrays(offsets, pa.array(asked.names.name_H[latents], pa.string())),
        "activations": column(lists(found.activation_BTK)),
        "contributions": column(lists(item.contribution_BTK)),
        "beyond": column(lists(beyond.contribution_BTK)),
        "listed": listed_R,
        "others": contribution_RK.sum(1) - listed_R,
        "bias": item.bias_BT[there_BT],
        "bias_beyond": beyond.bias_BT[there_BT],
        "error": item.error_BT[there_BT],
        "rest": item.rest_BT[there_BT],
    }
    return conform(pa.table(columns), EXPLANATIONS)


def write_explanations(asked: ExplanationRequest, wanted: np.ndarray | None, folder: Folder, name: str) -> int:
    """The first ten unseen items of all users, or of `wanted` (user_idx), by user_idx; returns how many rows.

    Raises BadInput as Explainer does, and then leaves no file.
    """
    ids = user_ids(asked.ingested)
    users = np.arange(len(ids)) if wanted is None else np.unique(wanted)
    firsts = np.flatnonzero(np.diff(chunk_of(asked.ingested, users), prepend=-1))
    of_chunks = np.split(users, firsts[1:])
    pieces = [piece for of in of_chunks for piece in np.split(of, range(USERS_A_TASK, len(of), USERS_A_TASK))]
    written = 0
    try:
        with atomic_parquet_writer(folder, name, EXPLANATIONS) as out:
            keys = [(some, ids[some]) for some in pieces]
            for table in tasks.over(_explain, asked, keys, "explaining", "pieces", asked.device):
                out.write_table(table)
                written += table.num_rows
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, BadInput) else error) from None
    return written


def explain_one(
    asked: ExplanationRequest, user: int, item_BT: np.ndarray | None = None, k: int = TOP
) -> tuple[Explained, Present]:
    """One user by user_idx, in this process: items `(1, T)`, or the first `k` unseen ones; and the user's history."""
    explainer, wanted = asked.explainer(), np.array([user])
    chunk = read_chunk(asked.ingested, int(chunk_of(asked.ingested, wanted)[0]))
    present = next(batches(chunk, wanted, explainer.model, asked.device))
    return explainer(present, item_BT, k), present


def _explain(asked: ExplanationRequest, some: tuple[np.ndarray, np.ndarray]) -> pa.Table:
    return explain_users(asked, *some)


def explain_users(asked: ExplanationRequest, users: np.ndarray, ids: np.ndarray) -> pa.Table:
    """Some users of one chunk, ascending, and their external ids."""
    explainer = asked.explainer()
    item_ids = asked.ingested.read_table("items.parquet", ["item_id"])["item_id"]
    chunk = read_chunk(asked.ingested, int(chunk_of(asked.ingested, users[:1])[0]))
    found = []
    for present in batches(chunk, users, explainer.model, asked.device):
        user_id_B = ids[np.searchsorted(users, present.user_B)]
        found.append(rows(explainer(present), asked, user_id_B, item_ids))
    return pa.concat_tables(found)
