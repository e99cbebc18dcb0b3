"""The stage `evidence`: one streamed pass over the shards, folded on the driver. It knows Ray Data and the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import ray

from recsae.concepts import evidence, terms
from recsae.concepts.sketch import Sketch, add, sketch_block
from recsae.config import Config, EvidenceConfig
from recsae.data.catalogue import Catalogue
from recsae.sae import model
from recsae.schemas import EVIDENCE, LATENT_STATS
from recsae.store import shards
from recsae.store.folder import Folder
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

CASES_AT_ONCE = 65_536
IN_FLIGHT = 4
"""Sketches awaited at a time: a bound on memory."""


@ray.remote
def _sketch_shard(activations: Committed, name: str, sae: Folder, config: EvidenceConfig, seed: int) -> Sketch:
    weights = model.load(sae)
    table = shards.read(activations.data, name)
    blocks = [
        sketch_block(table.slice(start, CASES_AT_ONCE), weights, config, seed)
        for start in range(0, table.num_rows, CASES_AT_ONCE)
    ]
    total = blocks[0]
    for block in blocks[1:]:
        total = add(total, block, config, seed)
    return total


def gather_evidence(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `evidence.parquet` (sorted by latent) and `latent_stats.parquet`."""
    activations = inputs["activations"]
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    start = time.monotonic()
    names = activations.files(shards.PREFIX)
    waiting: list[ray.ObjectRef[Sketch]] = []
    total: Sketch | None = None
    done = 0
    while names or waiting:
        while names and len(waiting) < IN_FLIGHT:
            waiting.append(
                _sketch_shard.remote(
                    activations, names.pop(0), inputs["sae"].data.child("model"), config.evidence, config.seed
                )
            )
        ready, waiting = ray.wait(waiting)
        part = ray.get(ready[0])
        total = part if total is None else add(total, part, config.evidence, config.seed)
        done += 1
        log.info("evidence: shard %d/%d", done, done + len(waiting) + len(names))
    assert total is not None
    found = evidence.choose(
        total, catalogue.popularity, vocabulary.bears, config.probe.view, config.evidence, config.seed
    )
    out.write_table("evidence.parquet", found.cases, EVIDENCE)
    out.write_table("latent_stats.parquet", found.stats, LATENT_STATS)
    seconds = time.monotonic() - start
    alive = found.stats.num_rows
    log.info("evidence: %d living latents, %d cases, %.1f s", alive, found.cases.num_rows, seconds)
    return {
        "alive": alive,
        "cases": found.cases.num_rows,
        "vocabulary": len(vocabulary.terms),
        "cases_per_second": activations.metrics["cases"] / seconds,
    }
