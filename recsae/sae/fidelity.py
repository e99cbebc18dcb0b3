"""What SAEs keep, and the controls beside them: FVU, L0, dead latents, and the recommender's figures after an edit.

Measured by Ray tasks, one a shard and one a chunk of users, each of which serves all SAEs and controls at once; what
they add is folded in order, so figures do not depend on who was first. What is summed is in accumulators.py, and what
stands in for the activations in controls.py. It knows the store, Ray and the recommender's ranking.
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
from recsae.sae.accumulators import ChunkSums, Draws, Moments, ShardSums
from recsae.sae.controls import Control, Untrained, beside
from recsae.sae.fidelity_metrics import FidelityRow, measured
from recsae.sae.model import best_length
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed


class FidelityPlan(NamedTuple):
    """On whose activations and cases SAEs and controls are measured, and how closely."""

    ingested: Committed
    recommender: Committed
    activations: Committed
    part: str
    seed: int
    users: int | None = None
    """So many users of the part, about, are ranked, drawn by the seed; None: all. Activations are always all."""
    resamples: int = 0
    """Resamples of users behind the intervals; 0: no intervals."""
    ranked: bool = True
    """Whether cases are ranked; where the activations were given, there is no model to do it."""
    explain: bool = False
    """Whether the active latents of explain users are counted too, for those that are dead."""
    device: str = "cpu"


def moments(activations: Committed, part: str, device: str = "cpu") -> Moments:
    """Mean, scale and scatter of one part's activations, of one pass over the shards.

    Raises BadInput where the part has none: training would wait for a batch for ever.
    """
    task = _shard_moments.options(num_gpus=_gpus(device))
    names = activations.files(shards.PREFIX)
    total: Moments = tasks.total(lambda name: task.remote(activations, name, part, device), names, "moments, shard")
    if not total.cases:
        raise BadInput(f"no user of the interactions fell to the part {part}; give more users or another seed")
    return total


def untrained(activations: Committed, folder: Folder, k: int, seed: int, device: str) -> Untrained:
    """The control that is as wide as the SAE in the folder, its length fitted on one shard's explain users."""
    task = _shard_length.options(num_gpus=_gpus(device))
    control = Untrained(folder, k, seed)
    for name in activations.files(shards.PREFIX):
        length: float | None = ray.get(task.remote(activations, name, control, device))
        if length is not None:
            return dataclasses.replace(control, length=length)
    return control


def table(survey: FidelityPlan, control: Untrained, stream: Moments) -> dict[str, Any]:
    """The SAE that `control` is like, beside its controls: `fvu`, `l0`, and `fidelity`, the table of all.

    `stream` are the moments that PCA is of; they and the control's k are of other users than the survey's.
    """
    found = measure(survey, beside(control, stream.mean_D, stream.scatter_DD))
    return {
        "fvu": found.rows["sae"]["fvu"],
        "l0": found.active["sae"].l0,
        "fidelity": {
            "cases": found.cases,
            "users": found.users,
            "part": survey.part,
            "rank": control.k,
            "rows": found.rows,
        },
    }


def measure(survey: FidelityPlan, controls: Mapping[str, Control]) -> FidelityRow:
    """All controls in one pass over the shards and one over the chunks of users."""
    # Once to the store and not with every task: manifests and PCA's axes may be large.
    held, gpus = ray.put((survey, controls)), _gpus(survey.device)
    on_shard = _shard_sums.options(num_gpus=gpus)
    names = survey.activations.files(shards.PREFIX)
    vectors: ShardSums = tasks.total(lambda name: on_shard.remote(held, name), names, "fidelity, shard")
    ranks: ChunkSums | None = None
    if survey.ranked and survey.recommender.metrics["kind"] != "given":
        on_chunk = _chunk_sums.options(num_gpus=gpus)
        numbers = range(n_chunks(survey.ingested))
        ranks = tasks.total(lambda number: on_chunk.remote(held, number), numbers, "fidelity, chunk")
    return measured(list(controls), vectors, ranks)


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
def _shard_sums(held: tuple[FidelityPlan, Mapping[str, Control]], name: str) -> ShardSums:
    survey, controls = held
    _one_thread(survey.device)
    shard = shards.read(survey.activations.data, name)
    return accumulators.shard_sums(shard, controls, survey.part, survey.explain, _draws(survey), survey.device)


@ray.remote
def _chunk_sums(held: tuple[FidelityPlan, Mapping[str, Control]], number: int) -> ChunkSums:
    survey, controls = held
    _one_thread(survey.device)
    return chunk_of(survey, controls, number)


def chunk_of(survey: FidelityPlan, controls: Mapping[str, Control], number: int) -> ChunkSums:
    """The test cases of the part, or of those of its users that are drawn, in one chunk."""
    cases = held_out_cases(survey.ingested, number, survey.part, survey.users, survey.seed)
    model = registry.load(survey.recommender, survey.activations.metrics["site"], survey.device)
    edits = {name: control.on(survey.device) for name, control in controls.items()}
    compared = compare_chunk(model, edits, read_chunk(survey.ingested, number), cases, survey.device)
    return accumulators.chunk_sums(compared, _draws(survey))


def _draws(survey: FidelityPlan) -> Draws:
    return Draws(survey.resamples, survey.seed)


def _gpus(device: str) -> int:
    return 1 if device == "cuda" else 0


def _one_thread(device: str) -> None:
    """A task has one core, and the number of threads changes the last digits of a sum."""
    if device == "cpu":
        torch.set_num_threads(1)
