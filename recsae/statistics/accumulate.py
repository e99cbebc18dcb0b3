"""Two passes over the shards behind the statistics of attributes: what there is, and what its cases add up to.

The first finds the moments of the explain stream, of which the principal directions are, how many score cases each item
has, on which it depends which attributes are met, and which cases the null is to be drawn from. The second adds up, for
every code and view at once, sums and counts over score cases, and keeps the strongest cases of each latent and the
vectors of those drawn. What tasks find is folded in the order of the shards, so digits do not depend on who is first.

It knows shards, codes and attributes; the formulas are in the files that it calls. Shape suffixes: B cases, D width, V
views, I items, N drawn cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import ray
import torch

from recsae.distributed import tasks
from recsae.evidence.sketch import priority
from recsae.sae import accumulators, attributes, correlation
from recsae.sae.accumulators import Moments
from recsae.sae.attributes import Attributes, AttributeSums, FiringCounts
from recsae.sae.controls import Principal
from recsae.sae.correlation import Code, Codes
from recsae.sae.model import Encoded
from recsae.schemas.base import PARTS
from recsae.statistics import coherence
from recsae.statistics.coherence import Seeker, Strongest
from recsae.store import shards
from recsae.store.run_store import Committed

PART = "score"


class ScoreCases(NamedTuple):
    """The cases of score users in one shard."""

    x_BD: np.ndarray
    user_B: np.ndarray
    case_B: np.ndarray
    item_VB: np.ndarray
    """int32; −1 where a case has no item in the view."""


class Known(NamedTuple):
    """What there is, after the first pass."""

    stream: Moments
    """Of explain users."""
    cases_VI: np.ndarray
    """int64 score cases of each item."""
    drawn: tuple[np.ndarray, ...]
    """By view the smallest hashes, at most `most` of them, of the cases that have an item there."""
    most: int

    def plus(self, other: Known) -> Known:
        drawn = tuple(smallest(np.concatenate(pair), self.most) for pair in zip(self.drawn, other.drawn, strict=True))
        return Known(self.stream.plus(other.stream), self.cases_VI + other.cases_VI, drawn, self.most)


class Drawn(NamedTuple):
    """Cases on which attributes are permuted, by their hash."""

    hash_N: np.ndarray
    item_N: np.ndarray
    x_ND: np.ndarray


class Counted(NamedTuple):
    """What cases add up to; sums and counts by code and view, of codes that fire both."""

    sums: dict[tuple[str, str], AttributeSums]
    fires: dict[tuple[str, str], FiringCounts]
    strongest: dict[str, Strongest]
    """By code; the raw dimensions come with both ends (coherence.ends), and principal directions not at all."""
    drawn: dict[str, Drawn]
    """By view."""


class StatisticsPlan(NamedTuple):
    """What the second pass counts: the same for all shards."""

    activations: Committed
    codes: Codes
    met: Mapping[str, Attributes]
    """By view."""
    mean_D: np.ndarray
    """Of the explain stream."""
    limits: Sequence[int]
    """By view the largest hash that is drawn."""
    seed: int


def smallest(values: np.ndarray, most: int) -> np.ndarray:
    """The `most` smallest, in no order."""
    return values if len(values) <= most else np.partition(values, most - 1)[:most]


def score_cases(table: pa.Table, views: Sequence[str]) -> ScoreCases:
    """Those of one shard."""
    rows = np.flatnonzero(table["part"].to_numpy() == PARTS.index(PART))
    item_VB = np.stack([shards.items(table, view)[rows] for view in views])
    user_B, case_B = (table[name].to_numpy()[rows].astype(np.int64) for name in ("user_idx", "case_id"))
    return ScoreCases(shards.vectors(table)[rows], user_B, case_B, item_VB)


def look(activations: Committed, views: Sequence[str], n_items: int, most: int, seed: int) -> Known:
    """The first pass."""

    def task(name: str) -> Any:
        return _look.remote(activations, name, views, n_items, most, seed)

    known: Known = tasks.total(task, activations.files(shards.PREFIX), "items of cases, shard")
    return known


@ray.remote
def _look(activations: Committed, name: str, views: Sequence[str], n_items: int, most: int, seed: int) -> Known:
    torch.set_num_threads(1)
    return look_at(shards.read(activations.data, name), views, n_items, most, seed)


def look_at(table: pa.Table, views: Sequence[str], n_items: int, most: int, seed: int) -> Known:
    """What one shard holds."""
    cases = score_cases(table, views)
    hash_B = draw(cases.case_B, seed)
    cases_VI = np.stack([np.bincount(item_B[item_B >= 0], minlength=n_items) for item_B in cases.item_VB])
    drawn = tuple(smallest(hash_B[item_B >= 0], most) for item_B in cases.item_VB)
    return Known(accumulators.moments(table, "explain"), cases_VI, drawn, most)


def draw(case_B: np.ndarray, seed: int) -> np.ndarray:
    """The hash by which cases are drawn, another for each case."""
    return priority(case_B, -1, seed)


def count(plan: StatisticsPlan) -> Counted:
    """The second pass."""
    held = ray.put(plan)

    def task(name: str) -> Any:
        return _count.remote(held, name)

    pairs = max(len(met.pairs) for met in plan.met.values())
    what = f"{len(plan.codes)} codes against {pairs} attributes, shard"
    found = tasks.in_order(task, plan.activations.files(shards.PREFIX), what)
    total: Counted = next(found)
    # Arrays from Ray's store may not be written to.
    total = total._replace(sums=_writable(total.sums), fires=_writable(total.fires))
    drawn = {view: [some] for view, some in total.drawn.items()}
    strongest = dict(total.strongest)
    for part in found:
        for key, one in part.sums.items():
            attributes.add(total.sums[key], one)
        for key, one in part.fires.items():
            attributes.add(total.fires[key], one)
        strongest = {name: so_far.plus(part.strongest[name]) for name, so_far in strongest.items()}
        for view, some in part.drawn.items():
            drawn[view].append(some)
    return total._replace(strongest=strongest, drawn={view: _by_hash(some) for view, some in drawn.items()})


@ray.remote
def _count(plan: StatisticsPlan, name: str) -> Counted:
    torch.set_num_threads(1)
    return count_shard(shards.read(plan.activations.data, name), plan)


def count_shard(table: pa.Table, plan: StatisticsPlan) -> Counted:
    """What the cases of one shard add up to."""
    cases = score_cases(table, list(plan.met))
    items = dict(zip(plan.met, cases.item_VB, strict=True))
    added: dict[tuple[str, str], AttributeSums] = {}
    fires: dict[tuple[str, str], FiringCounts] = {}
    strongest = {}
    for name, code in plan.codes.items():  # one after the other: of several SAEs one is in memory
        loaded = correlation.load_code(code)
        latents = correlation.loaded_width(loaded, cases.x_BD)
        for view, met in plan.met.items():
            added[name, view] = attributes.zero_sums(latents, len(met.pairs))
            if correlation.is_sparse(code):
                fires[name, view] = attributes.zero_counts(latents, len(met.pairs))
        seeker = Seeker(latents if correlation.is_sparse(code) else 2 * latents)
        for rows, found in correlation.encode_blocks(loaded, cases.x_BD):
            for view, met in plan.met.items():
                known = items[view][rows] >= 0
                has_BA = met.has_IA[items[view][rows][known]]
                if isinstance(found, Encoded):
                    active = found.index_BK.numpy()[known], found.value_BK.numpy()[known]
                    attributes.add_latents(added[name, view], *active, has_BA)
                    attributes.add_firings(fires[name, view], *active, has_BA)
                else:
                    attributes.add_dimensions(added[name, view], found[known], has_BA)
            for latent_N, value_N, row_N in _offered(code, found, plan.mean_D):
                seeker.add(latent_N, value_N, row_N + rows.start, cases.user_B, cases.case_B)
        if not isinstance(code, Principal):
            strongest[name] = seeker.found(cases.x_BD)
    return Counted(added, fires, strongest, dict(zip(plan.met, _drawn(cases, plan), strict=True)))


def _offered(code: Code, found: Encoded | np.ndarray, mean_D: np.ndarray) -> Iterable[coherence.Offer]:
    """A block's latents and cases among which the strongest are sought."""
    if isinstance(found, Encoded):
        value_BK = found.value_BK.numpy()
        row_N, place_N = np.nonzero(value_BK > 0)
        return [(found.index_BK.numpy()[row_N, place_N], value_BK[row_N, place_N], row_N)]
    return [] if isinstance(code, Principal) else coherence.ends(found - mean_D)


def _drawn(cases: ScoreCases, plan: StatisticsPlan) -> Iterator[Drawn]:
    hash_B = draw(cases.case_B, plan.seed)
    for item_B, limit in zip(cases.item_VB, plan.limits, strict=True):
        inside = (item_B >= 0) & (hash_B <= limit)
        yield Drawn(hash_B[inside], item_B[inside], cases.x_BD[inside])


def _by_hash(pieces: Sequence[Drawn]) -> Drawn:
    """All together, in an order that no shard decides."""
    whole = Drawn(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
    order = np.argsort(whole.hash_N)
    return Drawn(*(column[order] for column in whole))


def _writable(found: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    return {key: type(one)(*(array.copy() for array in one)) for key, one in found.items()}
