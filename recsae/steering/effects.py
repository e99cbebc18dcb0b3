"""What interventions do to the recommendations of one part of users: sums over chunks of users, a Ray task each.

Concepts in the top 10, NDCG, HR, coverage and popularity under the clean model and every intervention; for reported
interventions also under the weights of every resample of users. Shape suffixes: I items, C concepts, E interventions
(the clean model first), T reported ones, S sums (the plain one first), B cases of a batch, N cases of a chunk, X
columns.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.data.chunks import Chunk, n_chunks, read_chunk
from recsae.distributed import tasks
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender
from recsae.recommenders.evaluation import held_out_cases
from recsae.recommenders.ranking import TOP_K
from recsae.sae import model as sae_files
from recsae.sae.model import Sae
from recsae.stats.bootstrap import weighted_sums
from recsae.steering import ranking_kernel
from recsae.steering.interventions import InterventionPlan
from recsae.steering.outcomes import Interventions, outcomes
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

INTERVENTIONS_AT_ONCE = 2048
"""Tried on a batch of cases together."""


class SteeringSetup(NamedTuple):
    """What is tried, on which model, and how it is measured."""

    ingested: Committed
    recommender: Committed
    sae: Folder
    site: str
    plan: InterventionPlan
    bears_IC: sparse.csr_array
    popularity_I: np.ndarray
    users: int
    """Of each part, about, drawn by the seed."""
    resamples: int
    """Of users, behind the intervals."""
    seed: int
    device: str = "cpu"


class Effects(NamedTuple):
    """Sums over some cases; index 0 of E is the clean model."""

    users: int
    cases: int
    places: int
    """Of all first items: ten a case, fewer where fewer were unseen."""
    hits_EC: np.ndarray
    """int64 places whose item has the concept."""
    hr_E: np.ndarray
    """int64 targets in the top 10."""
    gain_E: np.ndarray
    """Their `1 / log2(1 + rank)`, float64."""
    popularity_E: np.ndarray
    """int64 training events of the items in all places."""
    covered_EI: np.ndarray
    """A bit for every item that has a place, uint8."""
    reported_SX: np.ndarray
    """By resample: cases, places, the clean hits of each concept, each reported intervention's hits of its own concept,
    the clean gain and each reported intervention's."""

    def plus(self, other: Effects) -> Effects:
        mine, theirs = self._asdict(), other._asdict()
        covered_EI = mine.pop("covered_EI") | theirs["covered_EI"]
        return Effects(**{name: mine[name] + theirs[name] for name in mine}, covered_EI=covered_EI)


def measure(setup: SteeringSetup, part: str) -> Effects:
    """The effects on one part of users; logs its progress."""
    numbers = range(n_chunks(setup.ingested))
    found = tasks.over(_of_chunk, (setup, part), numbers, f"steering {part} users", "chunks", setup.device)
    return functools.reduce(Effects.plus, found)


def _of_chunk(held: tuple[SteeringSetup, str], number: int) -> Effects:
    return chunk_effects(*held, number)


def chunk_effects(setup: SteeringSetup, part: str, number: int) -> Effects:
    """The test cases of the part, or of those of its users that are drawn, in one chunk."""
    cases = held_out_cases(setup.ingested, number, part, setup.users, setup.seed)
    asked = _Asked(
        registry.load(setup.recommender, setup.site, setup.device),
        sae_files.load(setup.sae, setup.device),
        read_chunk(setup.ingested, number),
        cases,
    )
    every = range(0, max(len(setup.plan.own_E), 1), INTERVENTIONS_AT_ONCE)
    found = [_effects_of(setup, slice(start, start + INTERVENTIONS_AT_ONCE), asked) for start in every]
    hits, popularity, covered, rank_EN, own_EN = (
        np.concatenate([one[place] if one is found[0] else one[place][1:] for one in found]) for place in range(5)
    )
    clean_CN, places_N = found[0].clean_CN, found[0].places_N
    gain_EN = np.where(rank_EN <= TOP_K, 1 / np.log2(1 + np.maximum(rank_EN, 1)), 0)
    reported = 1 + setup.plan.reported
    value_NX = np.concatenate(
        [np.ones((1, cases.num_rows)), places_N[None], clean_CN, own_EN[1:reported], gain_EN[:reported]]
    ).T
    user_N = cases["user_idx"].to_numpy()
    users, place_N = np.unique(user_N, return_inverse=True)
    by_user = sparse.csr_array((np.ones(len(user_N)), (place_N, np.arange(len(user_N)))), (len(users), len(user_N)))
    return Effects(
        len(users),
        cases.num_rows,
        int(places_N.sum()),
        hits,
        (rank_EN <= TOP_K).sum(1),
        gain_EN.sum(1),
        popularity,
        covered,
        weighted_sums(by_user @ value_NX, users, setup.resamples, setup.seed),
    )


class _Asked(NamedTuple):
    """The cases of a chunk, and the models that answer them."""

    model: Recommender
    sae: Sae
    chunk: Chunk
    cases: pa.Table


class _InterventionEffects(NamedTuple):
    hits_EC: np.ndarray
    popularity_E: np.ndarray
    covered_EI: np.ndarray
    rank_EN: np.ndarray
    own_EN: np.ndarray
    """Places of the intervention's own concept, by case."""
    clean_CN: np.ndarray
    """Places of every concept under the clean model."""
    places_N: np.ndarray


def _effects_of(setup: SteeringSetup, some: slice, asked: _Asked) -> _InterventionEffects:
    """The clean model and some of the interventions on the cases of a chunk."""
    model, sae, chunk, cases = asked
    bears_IC = setup.bears_IC
    of = setup.plan.interventions
    interventions = Interventions(of.direction_MD, of.row_E[some], of.latent_E[some], of.keep_E[some], of.plus_E[some])
    own_E = np.concatenate([[-1], setup.plan.own_E[some]])
    sizes = len(own_E), cases.num_rows
    found = _InterventionEffects(
        np.zeros((len(own_E), bears_IC.shape[1]), dtype=np.int64),
        np.zeros(len(own_E), dtype=np.int64),
        np.zeros((len(own_E), -(-bears_IC.shape[0] // 8)), dtype=np.uint8),
        np.zeros(sizes, dtype=np.int64),
        np.zeros(sizes, dtype=np.int64),
        np.zeros((bears_IC.shape[1], cases.num_rows)),
        np.zeros(cases.num_rows),
    )
    for outcome in outcomes(model, sae, interventions, chunk, cases, setup.device):
        top_EBT = np.concatenate([outcome.clean_top_BT[None], outcome.top_EBT])
        own_EB = np.zeros(top_EBT.shape[:2], dtype=np.int64)
        ranking_kernel.tally(
            top_EBT,
            own_E,
            bears_IC.indptr,
            bears_IC.indices,
            setup.popularity_I,
            found.hits_EC,
            own_EB,
            found.popularity_E,
            found.covered_EI,
        )
        rows, clean_BT = outcome.rows, outcome.clean_top_BT
        found.rank_EN[:, rows] = np.concatenate([outcome.clean_rank_B[None], outcome.rank_EB])
        found.own_EN[:, rows] = own_EB
        held = bears_IC[np.maximum(clean_BT, 0).ravel()].multiply((clean_BT.ravel() >= 0)[:, None])
        found.clean_CN[:, rows] = held.toarray().reshape(*clean_BT.shape, -1).sum(1).T
        found.places_N[rows] = (clean_BT >= 0).sum(1)
    return found
