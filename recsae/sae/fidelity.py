"""Fidelity of SAEs and their controls: FVU, L0, dead latents, and ranking metrics after an edit.

One Ray task per shard and one per chunk of users measure all SAEs and controls at once. Their sums are folded in order,
so that results do not depend on which task ends first. The sums are in accumulators.py, the edits in controls.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import ray
import torch

from recsae.data.chunks import n_chunks, read_chunk
from recsae.distributed import tasks
from recsae.errors import BadInput
from recsae.recommenders import registry
from recsae.recommenders.evaluation import held_out_cases
from recsae.recommenders.ranking import compare_chunk
from recsae.sae import accumulators
from recsae.sae.accumulators import Bootstrap, ChunkSums, Moments, ShardSums
from recsae.sae.controls import Control, Untrained, fidelity_controls
from recsae.sae.fidelity_metrics import FidelityTable, fidelity_table
from recsae.sae.model import best_length
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed


class FidelityPlan(NamedTuple):
    """The activations and cases on which SAEs and controls are measured."""

    ingested: Committed
    recommender: Committed
    activations: Committed
    part: str
    seed: int
    users: int | None = None
    """Approximate number of users of the part to rank, drawn by the seed; None ranks all. FVU is always over all."""
    resamples: int = 0
    """Bootstrap resamples of users behind the intervals; 0 gives no intervals."""
    ranked: bool = True
    """Whether to rank cases. Without a model, when activations were imported, nothing is ranked."""
    explain: bool = False
    """Whether to count active latents on explain users too, which tells dead latents."""
    device: str = "cpu"


def moments(activations: Committed, part: str, device: str = "cpu") -> Moments:
    """Mean, scale and scatter of one part's activations, in one pass over the shards.

    Raises BadInput if the part has none, because training would wait for a batch forever.
    """
    names = activations.files(shards.PREFIX)
    total: Moments = tasks.total(_shard_moments, (activations, part, device), names, "moments", device=device)
    if not total.cases:
        raise BadInput(f"the part {part} has no users; give more users or another seed")
    return total


def fit_untrained(activations: Committed, folder: Folder, k: int, seed: int, device: str) -> Untrained:
    """An untrained SAE of the same size as the one in the folder, its length fitted on one shard's explain users."""
    control = Untrained(folder, k, seed)
    for name in activations.files(shards.PREFIX):
        length: float | None = ray.get(tasks.submit(_shard_length, (activations, control, device), name, device))
        if length is not None:
            return dataclasses.replace(control, length=length)
    return control


def table(plan: FidelityPlan, control: Untrained, stream: Moments) -> dict[str, Any]:
    """Metrics of the SAE in `control.folder`: `fvu`, `l0`, and `fidelity`, its table with all controls.

    PCA is fitted on `stream`. Both `stream` and the control's k come from other users than those measured here.
    """
    found = measure(plan, fidelity_controls(control, stream.mean_D, stream.scatter_DD))
    return {
        "fvu": found.rows["sae"]["fvu"],
        "l0": found.active["sae"].l0,
        "fidelity": {
            "cases": found.cases,
            "users": found.users,
            "part": plan.part,
            "rank": control.k,
            "rows": found.rows,
        },
    }


def measure(plan: FidelityPlan, controls: Mapping[str, Control]) -> FidelityTable:
    """Measure all controls in one pass over the shards and one over the chunks of users."""
    shared, names = (plan, controls), plan.activations.files(shards.PREFIX)
    phase = f"fidelity on {plan.part} users"
    vectors: ShardSums = tasks.total(_shard_sums, shared, names, phase, device=plan.device)
    ranks: ChunkSums | None = None
    if plan.ranked and plan.recommender.metrics["kind"] != "given":
        numbers = range(n_chunks(plan.ingested))
        ranks = tasks.total(_chunk_sums, shared, numbers, phase, "chunks", plan.device)
    return fidelity_table(list(controls), vectors, ranks)


def _shard_moments(held: tuple[Committed, str, str], name: str) -> Moments:
    activations, part, device = held
    return accumulators.moments(shards.read(activations.data, name), part, device)


def _shard_length(held: tuple[Committed, Untrained, str], name: str) -> float | None:
    activations, control, device = held
    edit = control.on(device)
    for x_BD, _ in accumulators.blocks(shards.read(activations.data, name), "explain"):
        rows = torch.from_numpy(x_BD).to(device)
        return best_length(edit(rows) - edit.sae.mean_D, rows - edit.sae.mean_D)
    return None


def _shard_sums(shared: tuple[FidelityPlan, Mapping[str, Control]], name: str) -> ShardSums:
    plan, controls = shared
    shard = shards.read(plan.activations.data, name)
    return accumulators.shard_sums(shard, controls, plan.part, plan.explain, _draws(plan), plan.device)


def _chunk_sums(shared: tuple[FidelityPlan, Mapping[str, Control]], number: int) -> ChunkSums:
    plan, controls = shared
    return measure_chunk(plan, controls, number)


def measure_chunk(plan: FidelityPlan, controls: Mapping[str, Control], number: int) -> ChunkSums:
    """Rank counts over one chunk's test cases: those of the part, or of its users that are drawn."""
    cases = held_out_cases(plan.ingested, number, plan.part, plan.users, plan.seed)
    model = registry.load(plan.recommender, plan.activations.metrics["site"], plan.device)
    edits = {name: control.on(plan.device) for name, control in controls.items()}
    compared = compare_chunk(model, edits, read_chunk(plan.ingested, number), cases, plan.device)
    return accumulators.chunk_sums(compared, _draws(plan))


def _draws(plan: FidelityPlan) -> Bootstrap:
    return Bootstrap(plan.resamples, plan.seed)
