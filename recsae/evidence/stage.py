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
import torch

from recsae.config.concepts import EvidenceConfig
from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.evidence import case_selection, negatives
from recsae.evidence.item_latents import ItemLatentSums, PairSums, item_views
from recsae.evidence.sketch import EXPLAIN, Bars, Sketch, Sketcher, blocks
from recsae.sae import model
from recsae.schemas.concepts import EVIDENCE, LATENT_STATS
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

LEAST_IN_FLIGHT = 4
"""Least number of tasks in flight, otherwise one more than the cluster's cores; it bounds memory."""
SECONDS = 5.0
"""Seconds between two progress lines."""
_CASES_AT_LEAST = 8192


class ShardEvidence(NamedTuple):
    """The contribution of one shard."""

    sketch: Sketch
    pairs: ItemLatentSums


class Pass(NamedTuple):
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
    whole = Sketcher(sae.num_latents, config.evidence, config.seed)
    told = Pass(activations, folder, config.probe.view, config.evidence, config.seed)
    with item_views(config.resources.ingest_memory_gb) as views:
        for found in _as_they_come(told, whole.bars):
            whole.add(found.sketch)
            views.add(found.pairs)
        views.write(out, config.evidence.items)
    passed = time.monotonic() - start
    sketch = whole.sketch()
    near_HN = negatives.nearest(sae.W_dec.numpy(), np.flatnonzero(sketch.fired_H))
    chosen = case_selection.choose(
        sketch, catalogue.popularity, vocabulary.item_terms, config.probe.view, config.evidence, config.seed, near_HN
    )
    out.write_table("evidence.parquet", chosen.cases, EVIDENCE)
    out.write_table("latent_stats.parquet", chosen.stats, LATENT_STATS)
    seconds = time.monotonic() - start
    alive, cases = chosen.stats.num_rows, chosen.cases.num_rows
    log.info("evidence: %d alive latents, %d cases, %.1f s, %.1f s of it in the pass", alive, cases, seconds, passed)
    return {
        "alive": alive,
        "cases": cases,
        "vocabulary": len(vocabulary.terms),
        "cases_per_second": activations.metrics["cases"] / passed,
    }


def _as_they_come(told: Pass, bars: Callable[[], Bars]) -> Iterator[ShardEvidence]:
    """Yield the contribution of each shard as it arrives; a new task starts with the current limits."""
    names = told.activations.files(shards.PREFIX)
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    at_once = max(LEAST_IN_FLIGHT, cores + 1)
    waiting: list[ray.ObjectRef[ShardEvidence]] = []
    spoken = time.monotonic()
    begun = done = 0
    while done < len(names):
        while begun < len(names) and len(waiting) < at_once:
            waiting.append(_pass_shard.remote(told, names[begun], bars()))
            begun += 1
        ready, waiting = ray.wait(waiting, timeout=SECONDS)
        done += len(ready)
        if time.monotonic() - spoken >= SECONDS:
            spoken = time.monotonic()
            log.info("evidence: shard %d/%d", done, len(names))
        for one in ready:
            yield ray.get(one)


@ray.remote
def _pass_shard(told: Pass, name: str, bars: Bars) -> ShardEvidence:
    torch.set_num_threads(1)
    return pass_shard(told, name, bars)


def pass_shard(told: Pass, name: str, bars: Bars) -> ShardEvidence:
    """The contribution of one shard, read in batches that bound memory."""
    sae = _loaded(told.sae)
    sketcher, sums = Sketcher(sae.num_latents, told.config, told.seed, bars), PairSums()
    for table in _tables(told.activations.data, name):
        if told.view == "recommended":  # a case without an item cannot be shown
            table = table.filter(pc.is_valid(table["top_idx"]))
        for block in blocks(table, sae):
            sketcher.add_block(block)
            explained_B = block.cases.part == EXPLAIN
            item_B = np.where(explained_B, block.cases.shown(told.view), -1)
            sums.add(item_B, block.row_A, block.latent_A, block.activation_A)
    return ShardEvidence(sketcher.sketch(), sums.total())


@functools.lru_cache(maxsize=1)
def _loaded(folder: Folder) -> model.Sae:
    """The SAE, loaded once per worker process."""
    return model.load(folder)


def _tables(folder: Folder, name: str) -> Iterator[pa.Table]:
    """Yield a shard batch by batch, with small batches joined."""
    with folder.open_input(name) as source, pa.ipc.open_stream(source) as reader:
        held: list[pa.RecordBatch] = []
        for batch in reader:
            held.append(batch)
            if sum(one.num_rows for one in held) >= _CASES_AT_LEAST:
                yield pa.Table.from_batches(held)
                held = []
        if held:
            yield pa.Table.from_batches(held)
