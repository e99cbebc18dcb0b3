"""The stage `evidence`: one streamed pass over the shards, merged on the driver as results arrive.

Each task gets the limits of the sketch merged so far, and returns only cases that may still enter it. The tables do not
depend on the order in which tasks end.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from recsae.config.concepts import EvidenceConfig
from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.distributed import tasks
from recsae.evidence import case_selection, negatives
from recsae.evidence.item_latents import ItemLatentSums, PairAccumulator, item_latent_tables
from recsae.evidence.sketch import EXPLAIN, KeyLimits, Sketch, SketchBuilder, blocks
from recsae.observability import progress
from recsae.sae import model
from recsae.schemas.concepts import EVIDENCE, LATENT_STATS
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

MIN_IN_FLIGHT = 4
"""Least number of tasks in flight, otherwise one more than the cluster's cores; it bounds memory."""
WAIT_SECONDS = 5.0
"""Seconds between two progress lines."""
_MIN_BATCH_CASES = 8192


class ShardEvidence(NamedTuple):
    """The contribution of one shard."""

    sketch: Sketch
    pairs: ItemLatentSums


class EvidencePlan(NamedTuple):
    """Arguments shared by all tasks of the pass."""

    activations: Committed
    sae: Folder
    view: str
    config: EvidenceConfig
    seed: int


def gather_evidence(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `evidence.parquet`, `latent_stats.parquet`, `latent_items.parquet` and `item_latents.parquet`.

    Raises BadInput if `resources.ingest_memory_gb` is too little for the last two.
    """
    activations, folder = inputs["activations"], inputs["sae"].data.child("model")
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    sae = model.load(folder)
    start = time.monotonic()
    builder = SketchBuilder(sae.num_latents, config.evidence, config.seed)
    plan = EvidencePlan(activations, folder, config.probe.view, config.evidence, config.seed)
    with item_latent_tables(config.resources.ingest_memory_gb) as item_tables:
        for contribution in _shard_evidence(plan, builder.limits):
            builder.add(contribution.sketch)
            item_tables.add(contribution.pairs)
        item_tables.write(out, config.evidence.items)
    pass_seconds = time.monotonic() - start
    sketch = builder.sketch()
    nearest_HN = negatives.nearest(sae.W_dec.numpy(), np.flatnonzero(sketch.fired_H))
    chosen = case_selection.select_cases(
        sketch, catalogue.popularity, vocabulary.item_terms, config.probe.view, config.evidence, config.seed, nearest_HN
    )
    out.write_table("evidence.parquet", chosen.cases, EVIDENCE)
    out.write_table("latent_stats.parquet", chosen.stats, LATENT_STATS)
    seconds = time.monotonic() - start
    alive, cases = chosen.stats.num_rows, chosen.cases.num_rows
    log.info(
        "evidence: %d alive latents, %d cases, %.1f s, %.1f s of it in the pass", alive, cases, seconds, pass_seconds
    )
    return {
        "alive": alive,
        "cases": cases,
        "vocabulary": len(vocabulary.terms),
        "cases_per_second": activations.metrics["cases"] / pass_seconds,
    }


def _shard_evidence(plan: EvidencePlan, limits: Callable[[], KeyLimits]) -> Iterator[ShardEvidence]:
    """Yield the contribution of each shard as it arrives; a new task starts with the current limits."""
    names = plan.activations.files(shards.PREFIX)
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    at_once = max(MIN_IN_FLIGHT, cores + 1)
    pending: list[ray.ObjectRef[ShardEvidence]] = []
    progress.phase("reading cases", len(names), "shards")
    started = done = 0
    while done < len(names):
        while started < len(names) and len(pending) < at_once:
            pending.append(tasks.submit(_sketch_shard, plan, (names[started], limits())))
            started += 1
        ready, pending = ray.wait(pending, timeout=WAIT_SECONDS)
        done += len(ready)
        progress.reach(done)
        for one in ready:
            yield ray.get(one)


def _sketch_shard(plan: EvidencePlan, key: tuple[str, KeyLimits]) -> ShardEvidence:
    return sketch_shard(plan, *key)


def sketch_shard(plan: EvidencePlan, name: str, limits: KeyLimits) -> ShardEvidence:
    """The contribution of one shard, read in batches that bound memory."""
    sae = _load_sae(plan.sae)
    sketcher, sums = SketchBuilder(sae.num_latents, plan.config, plan.seed, limits), PairAccumulator()
    for table in _read_batches(plan.activations.data, name):
        if plan.view == "recommended":  # a case without an item cannot be shown
            table = table.filter(pc.is_valid(table["top_idx"]))
        for block in blocks(table, sae):
            sketcher.add_block(block)
            explained_B = block.cases.part == EXPLAIN
            item_B = np.where(explained_B, block.cases.item(plan.view), -1)
            sums.add(item_B, block.row_A, block.latent_A, block.activation_A)
    return ShardEvidence(sketcher.sketch(), sums.total())


@functools.lru_cache(maxsize=1)
def _load_sae(folder: Folder) -> model.Sae:
    """The SAE, loaded once per worker process."""
    return model.load(folder)


def _read_batches(folder: Folder, name: str) -> Iterator[pa.Table]:
    """Yield a shard batch by batch, with small batches joined."""
    with folder.open_input(name) as source, pa.ipc.open_stream(source) as reader:
        batches: list[pa.RecordBatch] = []
        for batch in reader:
            batches.append(batch)
            if sum(one.num_rows for one in batches) >= _MIN_BATCH_CASES:
                yield pa.Table.from_batches(batches)
                batches = []
        if batches:
            yield pa.Table.from_batches(batches)
