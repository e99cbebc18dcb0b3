"""The two passes over the shards behind the statistics of attributes.

The first pass finds the moments of the explain stream (for the principal components), the number of score cases of each
item (for the selection of attributes), and the sample of cases for the permutation null. The second pass accumulates,
for every code and view at once, sums and counts over score cases, the strongest cases of each latent, and the vectors
of the sample. Results are folded in shard order, so that digits do not depend on which task ends first. Shape suffixes:
B cases, D width, V views, I items, N sampled cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

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
from recsae.statistics.coherence import Strongest, StrongestFinder
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


class FirstPass(NamedTuple):
    """Result of the first pass."""

    stream: Moments
    """Moments of explain users' activations."""
    cases_VI: np.ndarray
    """int64 number of score cases of each item."""
    drawn: tuple[np.ndarray, ...]
    """By view, the smallest hashes (at most `most`) of the cases with an item in the view."""
    most: int

    def plus(self, other: FirstPass) -> FirstPass:
        drawn = tuple(smallest(np.concatenate(pair), self.most) for pair in zip(self.drawn, other.drawn, strict=True))
        return FirstPass(self.stream.plus(other.stream), self.cases_VI + other.cases_VI, drawn, self.most)


class NullSample(NamedTuple):
    """Sampled cases on which attributes are permuted, sorted by hash."""

    hash_N: np.ndarray
    item_N: np.ndarray
    x_ND: np.ndarray


class SecondPass(NamedTuple):
    """Result of the second pass. Sums and counts are by code and view; only sparse codes have counts."""

    sums: dict[tuple[str, str], AttributeSums]
    fires: dict[tuple[str, str], FiringCounts]
    strongest: dict[str, Strongest]
    """By code. Raw dimensions have both ends (coherence.ends); principal components are left out."""
    drawn: dict[str, NullSample]
    """By view."""


class StatisticsPlan(NamedTuple):
    """Arguments of the second pass, the same for all shards."""

    activations: Committed
    codes: Codes
    selected: Mapping[str, Attributes]
    """By view."""
    mean_D: np.ndarray
    """Mean of the explain stream."""
    limits: Sequence[int]
    """By view, the largest hash of a sampled case."""
    seed: int


def smallest(values: np.ndarray, most: int) -> np.ndarray:
    """The `most` smallest values, in any order."""
    return values if len(values) <= most else np.partition(values, most - 1)[:most]


def score_cases(table: pa.Table, views: Sequence[str]) -> ScoreCases:
    """The score cases of one shard."""
    rows = np.flatnonzero(table["part"].to_numpy() == PARTS.index(PART))
    item_VB = np.stack([shards.items(table, view)[rows] for view in views])
    user_B, case_B = (table[name].to_numpy()[rows].astype(np.int64) for name in ("user_idx", "case_id"))
    return ScoreCases(shards.vectors(table)[rows], user_B, case_B, item_VB)


def first_pass(activations: Committed, views: Sequence[str], n_items: int, most: int, seed: int) -> FirstPass:
    """Run the first pass over all shards."""
    shared = activations, views, n_items, most, seed
    known: FirstPass = tasks.total(_first_pass, shared, activations.files(shards.PREFIX), "items of cases")
    return known


def _first_pass(shared: tuple[Committed, Sequence[str], int, int, int], name: str) -> FirstPass:
    activations, views, n_items, most, seed = shared
    return first_pass_shard(shards.read(activations.data, name), views, n_items, most, seed)


def first_pass_shard(table: pa.Table, views: Sequence[str], n_items: int, most: int, seed: int) -> FirstPass:
    """The first pass over one shard."""
    cases = score_cases(table, views)
    hash_B = case_hash(cases.case_B, seed)
    cases_VI = np.stack([np.bincount(item_B[item_B >= 0], minlength=n_items) for item_B in cases.item_VB])
    drawn = tuple(smallest(hash_B[item_B >= 0], most) for item_B in cases.item_VB)
    return FirstPass(accumulators.moments(table, "explain"), cases_VI, drawn, most)


def case_hash(case_B: np.ndarray, seed: int) -> np.ndarray:
    """The hash by which cases are sampled, distinct for each case."""
    return priority(case_B, -1, seed)


def second_pass(plan: StatisticsPlan) -> SecondPass:
    """Run the second pass over all shards."""
    pairs = max(len(selected.pairs) for selected in plan.selected.values())
    what = f"{len(plan.codes)} codes against {pairs} attributes"
    found = tasks.over(_second_pass, plan, plan.activations.files(shards.PREFIX), what)
    total: SecondPass = next(found)
    # Arrays from Ray's object store are read-only.
    total = total._replace(sums=_writable(total.sums), fires=_writable(total.fires))
    drawn = {view: [some] for view, some in total.drawn.items()}
    strongest = dict(total.strongest)
    for part in found:
        for key, one in part.sums.items():
            attributes.add(total.sums[key], one)
        for key, firing in part.fires.items():
            attributes.add(total.fires[key], firing)
        strongest = {name: so_far.plus(part.strongest[name]) for name, so_far in strongest.items()}
        for view, some in part.drawn.items():
            drawn[view].append(some)
    return total._replace(strongest=strongest, drawn={view: _by_hash(some) for view, some in drawn.items()})


def _second_pass(plan: StatisticsPlan, name: str) -> SecondPass:
    return second_pass_shard(shards.read(plan.activations.data, name), plan)


def second_pass_shard(table: pa.Table, plan: StatisticsPlan) -> SecondPass:
    """The second pass over one shard."""
    cases = score_cases(table, list(plan.selected))
    items = dict(zip(plan.selected, cases.item_VB, strict=True))
    added: dict[tuple[str, str], AttributeSums] = {}
    fires: dict[tuple[str, str], FiringCounts] = {}
    strongest = {}
    for name, code in plan.codes.items():  # one at a time, so that only one SAE is in memory
        loaded = correlation.load_code(code)
        latents = correlation.loaded_width(loaded, cases.x_BD)
        for view, selected in plan.selected.items():
            added[name, view] = attributes.zero_sums(latents, len(selected.pairs))
            if correlation.is_sparse(code):
                fires[name, view] = attributes.zero_counts(latents, len(selected.pairs))
        finder = StrongestFinder(latents if correlation.is_sparse(code) else 2 * latents)
        for rows, found in correlation.encode_blocks(loaded, cases.x_BD):
            for view, selected in plan.selected.items():
                known = items[view][rows] >= 0
                has_BA = selected.has_IA[items[view][rows][known]]
                if isinstance(found, Encoded):
                    active = found.index_BK.numpy()[known], found.value_BK.numpy()[known]
                    attributes.add_latents(added[name, view], *active, has_BA)
                    attributes.add_firings(fires[name, view], *active, has_BA)
                else:
                    attributes.add_dimensions(added[name, view], found[known], has_BA)
            for latent_N, value_N, row_N in _candidates(code, found, plan.mean_D):
                finder.add(latent_N, value_N, row_N + rows.start, cases.user_B, cases.case_B)
        if not isinstance(code, Principal):
            strongest[name] = finder.found(cases.x_BD)
    return SecondPass(added, fires, strongest, dict(zip(plan.selected, _null_samples(cases, plan), strict=True)))


def _candidates(code: Code, found: Encoded | np.ndarray, mean_D: np.ndarray) -> Iterable[coherence.Candidates]:
    """Candidates of a block for the strongest cases of each latent."""
    if isinstance(found, Encoded):
        value_BK = found.value_BK.numpy()
        row_N, place_N = np.nonzero(value_BK > 0)
        return [(found.index_BK.numpy()[row_N, place_N], value_BK[row_N, place_N], row_N)]
    return [] if isinstance(code, Principal) else coherence.ends(found - mean_D)


def _null_samples(cases: ScoreCases, plan: StatisticsPlan) -> Iterator[NullSample]:
    hash_B = case_hash(cases.case_B, plan.seed)
    for item_B, limit in zip(cases.item_VB, plan.limits, strict=True):
        inside = (item_B >= 0) & (hash_B <= limit)
        yield NullSample(hash_B[inside], item_B[inside], cases.x_BD[inside])


def _by_hash(pieces: Sequence[NullSample]) -> NullSample:
    """The samples of all shards, sorted by hash, so that the order does not depend on the shards."""
    joined = NullSample(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
    order = np.argsort(joined.hash_N)
    return NullSample(*(column[order] for column in joined))


def _writable(found: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    return {key: type(one)(*(array.copy() for array in one)) for key, one in found.items()}
