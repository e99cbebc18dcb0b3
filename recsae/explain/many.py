"""Writes explanations of many users to one Parquet file, from Ray tasks of a few thousand users each.

Shape suffixes: see explainer.py; N strongest latents of an item, R rows.
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
from recsae.explain.explainer import TOP, Explainer, Explanations
from recsae.explain.population import Population, read_population
from recsae.explain.reasons import reason
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender
from recsae.sae import model
from recsae.sae.model import Sae
from recsae.schemas.base import conform
from recsae.schemas.steering import EXPLANATIONS
from recsae.statements.language import from_json
from recsae.steering.user_batches import Present, batches, user_ids
from recsae.store.atomic_output import atomic_parquet_writer
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

log = logging.getLogger(__name__)

USERS_A_TASK = 5000
"""Bounds the memory of a task's result: ten rows a user."""


class Names(NamedTuple):
    """What the interpretable latents are called as reasons; what lies below the bar is no reason and has no name."""

    reason_H: np.ndarray
    """object: `after …`, `recommends …`, and None for a latent without an interpretable concept."""

    @property
    def named_H(self) -> np.ndarray:
        return np.array([name is not None for name in self.reason_H], dtype=bool)

    @classmethod
    def read(cls, concepts: Committed, sae: Folder) -> Names:
        """Names of all latents of the SAE in the folder, from the stage `concepts`."""
        num_latents: int = sae.read_json(model.CONFIG)["num_latents"]
        found = cls(np.full(num_latents, None, dtype=object))
        columns = ["latent", "name", "statement", "interpretable"]
        for row in concepts.read_table("concepts.parquet", columns).to_pylist():
            if row["interpretable"] and row["name"]:
                found.reason_H[row["latent"]] = reason(row["name"], from_json(row["statement"]))
        return found


class ExplanationRequest(NamedTuple):
    """The recommender, SAE and names that explain every user."""

    ingested: Committed
    recommender: Committed
    sae: Folder
    site: str
    names: Names
    concepts: int
    """N, the latents listed for each item."""
    seed: int
    """Draws the users of `population`."""
    device: str = "cpu"
    population: Population | None = None
    """None: read where it is needed."""

    def explainer(self) -> Explainer:
        """An Explainer of the model and the SAE, both loaded anew."""
        recommender, sae = self._models()
        population = self.population or read_population(self.ingested, recommender, sae, self.seed, self.device)
        return Explainer(recommender, sae, self.device, population, self.names.named_H)

    def with_population(self) -> ExplanationRequest:
        """The same, so that tasks need not read the population again."""
        return self._replace(population=read_population(self.ingested, *self._models(), self.seed, self.device))

    def _models(self) -> tuple[Recommender, Sae]:
        return registry.load(self.recommender, self.site, self.device), model.load(self.sae, self.device)


def strongest(found: Explanations, number: int) -> np.ndarray:
    """Indices along K of the latents with the largest own |contribution|, descending; `(B, T, N)`, -1 where fewer are
    active.

    What everyone gets for the item is no reason of this user's, so it is their own part that counts.
    """
    size_BTK = np.where(found.latent_BTK >= 0, np.abs(found.own.contribution_BTK), -1)
    place_BTN = np.argsort(-size_BTK, axis=2, kind="stable")[:, :, :number]
    return np.where(np.take_along_axis(size_BTK, place_BTN, 2) >= 0, place_BTN, -1)


def rows(
    found: Explanations, request: ExplanationRequest, user_id_B: np.ndarray, item_ids: pa.ChunkedArray
) -> pa.Table:
    """Rows of EXPLANATIONS, one for each user and item, by user and rank."""
    place_BTN = strongest(found, request.concepts)
    there_BT = found.item_BT >= 0
    place_RN = place_BTN[there_BT]
    listed_RN = place_RN >= 0
    offsets = pa.array(np.concatenate([[0], listed_RN.sum(1).cumsum()]), pa.int32())

    def lists(of_BTK: np.ndarray) -> np.ndarray:
        return np.asarray(np.take_along_axis(of_BTK[there_BT], place_RN.clip(min=0), 1)[listed_RN])

    def column(values: np.ndarray) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.array(values))

    item, beyond, own, latents = found.item, found.beyond, found.own, lists(found.latent_BTK)
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
        "names": pa.ListArray.from_arrays(offsets, pa.array(request.names.reason_H[latents], pa.string())),
        "activations": column(lists(found.activation_BTK)),
        "contributions": column(lists(item.contribution_BTK)),
        "beyond": column(lists(beyond.contribution_BTK)),
        "own": column(lists(own.contribution_BTK)),
        "listed": listed_R,
        "others": contribution_RK.sum(1) - listed_R,
        "bias": item.bias_BT[there_BT],
        "bias_beyond": beyond.bias_BT[there_BT],
        "error": item.error_BT[there_BT],
        "rest": item.rest_BT[there_BT],
        "everyone": own.everyone_BT[there_BT],
        "own_named": own.named_BT[there_BT],
        "own_unnamed": own.unnamed_BT[there_BT],
        "own_error": own.error_BT[there_BT],
        "own_rest": own.rest_BT[there_BT],
    }
    return conform(pa.table(columns), EXPLANATIONS)


def write_explanations(request: ExplanationRequest, wanted: np.ndarray | None, folder: Folder, name: str) -> int:
    """Explain the ten best unseen items of all users, or of `wanted` (user_idx); returns the number of rows written.

    Rows are by user_idx. Raises BadInput as Explainer does; then no file is left.
    """
    ids = user_ids(request.ingested)
    users = np.arange(len(ids)) if wanted is None else np.unique(wanted)
    firsts = np.flatnonzero(np.diff(chunk_of(request.ingested, users), prepend=-1))
    users_by_chunk = np.split(users, firsts[1:])
    pieces = [piece for of in users_by_chunk for piece in np.split(of, range(USERS_A_TASK, len(of), USERS_A_TASK))]
    written, request = 0, request.with_population()
    try:
        with atomic_parquet_writer(folder, name, EXPLANATIONS) as out:
            keys = [(some, ids[some]) for some in pieces]
            for table in tasks.over(_explain, request, keys, "explaining", "pieces", request.device):
                out.write_table(table)
                written += table.num_rows
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, BadInput) else error) from None
    return written


def explain_one(
    request: ExplanationRequest, user: int, item_BT: np.ndarray | None = None, k: int = TOP
) -> tuple[Explanations, Present]:
    """Explanations of items `(1, T)`, or of the `k` best unseen ones, for one user (user_idx), and that user's history.

    Runs in this process.
    """
    explainer, wanted = request.explainer(), np.array([user])
    chunk = read_chunk(request.ingested, int(chunk_of(request.ingested, wanted)[0]))
    present = next(batches(chunk, wanted, explainer.model, request.device))
    return explainer(present, item_BT, k), present


def _explain(request: ExplanationRequest, some: tuple[np.ndarray, np.ndarray]) -> pa.Table:
    return explain_users(request, *some)


def explain_users(request: ExplanationRequest, users: np.ndarray, ids: np.ndarray) -> pa.Table:
    """Rows of EXPLANATIONS for users of one chunk, ascending, with their external ids."""
    explainer = request.explainer()
    item_ids = request.ingested.read_table("items.parquet", ["item_id"])["item_id"]
    chunk = read_chunk(request.ingested, int(chunk_of(request.ingested, users[:1])[0]))
    found = []
    for present in batches(chunk, users, explainer.model, request.device):
        user_id_B = ids[np.searchsorted(users, present.user_B)]
        found.append(rows(explainer(present), request, user_id_B, item_ids))
    return pa.concat_tables(found)
