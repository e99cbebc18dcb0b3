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
    task = _shard_moments.options(num_gpus=_gpus(device))
    names = activations.files(shards.PREFIX)
    total: Moments = tasks.total(lambda name: task.remote(activations, name, part, device), names, "moments, shard")
    if not total.cases:
        raise BadInput(f"the part {part} has no users; give more users or another seed")
    return total


def fit_untrained(activations: Committed, folder: Folder, k: int, seed: int, device: str) -> Untrained:
    """An untrained SAE of the same size as the one in the folder, its length fitted on one shard's explain users."""
    task = _shard_length.options(num_gpus=_gpus(device))
    control = Untrained(folder, k, seed)
    for name in activations.files(shards.PREFIX):
        length: float | None = ray.get(task.remote(activations, name, control, device))
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
    # Put once and shared by all tasks: manifests and PCA's axes may be large.
    shared, gpus = ray.put((plan, controls)), _gpus(plan.device)
    on_shard = _shard_sums.options(num_gpus=gpus)
    names = plan.activations.files(shards.PREFIX)
    vectors: ShardSums = tasks.total(lambda name: on_shard.remote(shared, name), names, "fidelity, shard")
    ranks: ChunkSums | None = None
    if plan.ranked and plan.recommender.metrics["kind"] != "given":
        on_chunk = _chunk_sums.options(num_gpus=gpus)
        numbers = range(n_chunks(plan.ingested))
        ranks = tasks.total(lambda number: on_chunk.remote(shared, number), numbers, "fidelity, chunk")
    return fidelity_table(list(controls), vectors, ranks)


@ray.remote
def _shard_moments(activations: Committed, name: str, part: str, device: str) -> Moments:
    _one_thread(device)
    return accumulators.moments(shards.read(activations.data, name), part, device)


@ray.remote
def _shard_length(activations: Committed, name: str, control: Untrained, device: str) -> float | None:
    _one_thread(device)
    edit = control.on(device)
    for x_BD, _ in accumulators.blocks(shards.read(activations.data, name), "explain"):
        rows = torch.from_numpy(x_BD).to(device)
        return best_length(edit(rows) - edit.sae.mean_D, rows - edit.sae.mean_D)
    return None


@ray.remote
def _shard_sums(shared: tuple[FidelityPlan, Mapping[str, Control]], name: str) -> ShardSums:
    plan, controls = shared
    _one_thread(plan.device)
    shard = shards.read(plan.activations.data, name)
    return accumulators.shard_sums(shard, controls, plan.part, plan.explain, _draws(plan), plan.device)


@ray.remote
def _chunk_sums(shared: tuple[FidelityPlan, Mapping[str, Control]], number: int) -> ChunkSums:
    plan, controls = shared
    _one_thread(plan.device)
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


def _gpus(device: str) -> int:
    return 1 if device == "cuda" else 0


def _one_thread(device: str) -> None:
    """A task has one core, and the number of threads changes the last digits of a sum."""
    if device == "cpu":
        torch.set_num_threads(1)
