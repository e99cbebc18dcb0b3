"""The stage `activations`: an actor pool runs the frozen recommender over users or items and writes shards.

One actor call processes one range of users or items; names of shards derive from the range, so a retry writes the same
files.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping

import ray

from recsae.activations import search
from recsae.activations.imported import write_imported
from recsae.activations.items import ItemProber
from recsae.activations.shard_writer import rows_per_shard
from recsae.activations.users import UserProber
from recsae.config.schema import Config
from recsae.data.chunks import n_chunks
from recsae.errors import BadInput
from recsae.observability import progress
from recsae.recommenders import registry
from recsae.schemas.base import PARTS
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def write_activations(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Run the recommender over every case, or import activations, and write `shards/`; returns the counts.

    Raises BadInput if a part has no cases, and on imported files that cannot be used.
    """
    start = time.monotonic()
    if config.recommender.kind == "given":
        found = write_imported(config, inputs["ingest"], out)
    else:
        search.refuse_unsupported(config)
        if config.recommender.kind == "foreign":  # raises BadInput if there is no such site
            registry.load(inputs["recommender"], config.probe.site)
        found = _probe(config, inputs, out)
    for part, cases in found["cases_by_part"].items():
        if not cases:
            unit = "items" if config.probe.site == "item" else "users"
            raise BadInput(f"the part {part} has no cases (of {found['cases']}); give more {unit} or another seed")
    return {**found, "site": config.probe.site, "cases_per_second": found["cases"] / (time.monotonic() - start)}


def _probe(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    ingested, resources, site = inputs["ingest"], config.resources, config.probe.site
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ranges, prober = _ranges(config, ingested), ItemProber if site == "item" else UserProber
    arguments = (ingested, inputs["recommender"], out.data, config.probe, resources.device, config.seed)
    dataset = ray.data.from_items(ranges).repartition(len(ranges))
    written = dataset.map(
        prober,  # type: ignore[arg-type]
        fn_constructor_args=arguments,
        compute=ray.data.ActorPoolStrategy(size=min(resources.probe_actors, len(ranges))),
        num_cpus=1,
        num_gpus=1 if resources.device == "cuda" else 0,
    )
    total: Counter[str] = Counter()
    width = 0
    progress.phase("running the recommender", len(ranges), "ranges")
    for done, row in enumerate(written.iter_rows(), 1):
        width = row.pop("width")
        total.update(row)
        progress.reach(done, f"{total['cases']:,} cases")
    metrics: Metrics = {
        "cases": total["cases"],
        "shards": total["shards"],
        "width": width,
        "cases_by_part": {part: total[part] for part in PARTS},
    }
    if total["checked"]:
        metrics["search_recall"] = total["agreed"] / total["checked"]
        log.info(
            "activations: the index finds the item ranked first in %.1f %% of %d cases",
            100 * metrics["search_recall"],
            total["checked"],
        )
    return metrics


def _ranges(config: Config, ingested: Committed) -> list[dict[str, int]]:
    """The units of work: chunks of users, or ranges of items that fill a shard each."""
    if config.probe.site != "item":
        return [{"chunk": number} for number in range(n_chunks(ingested))]
    size = rows_per_shard(config.recommender.width, config.probe.shard_mib)
    return [{"start": start, "stop": start + size} for start in range(0, ingested.metrics["items"], size)]
