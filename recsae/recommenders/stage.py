"""The stage `recommender`: trains the model that will be interpreted, or imports one trained elsewhere."""

from __future__ import annotations

import functools
import hashlib
import logging
import operator
from collections.abc import Mapping

import numpy as np
import ray
from ray.exceptions import RayTaskError

from recsae.config.recommender import RecommenderConfig
from recsae.config.schema import Config
from recsae.data.chunks import n_chunks
from recsae.distributed import tasks, training
from recsae.errors import BadInput
from recsae.recommenders import external_files, registry
from recsae.recommenders.evaluation import EvaluationPlan, RankingMetrics, count_chunk, full_plan, to_metrics
from recsae.recommenders.training import CHECKPOINT_NAME, learning_rate, train_loop
from recsae.store.filesystem import Folder
from recsae.store.lineage import FRESH, WARM
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def train_recommender(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Train with Ray Train and write `model/`; returns the metrics of the best epoch with intervals over users.

    With `nights.recommender = "warm-start"`, training continues from the previous night's weights if kind and sizes
    are equal, at the final learning rate of a full training: a higher one would first move the weights away, and with
    them the meaning of the latents.
    """
    if config.recommender.kind == "given":
        return {"kind": "given"}  # activations are imported: nothing to train or measure
    if config.recommender.foreign:
        return _import_external(config, inputs["ingest"], out)
    sizes = inputs["ingest"].metrics["users"], inputs["ingest"].metrics["items"]
    start = _warm_start_folder(config, inputs)
    model = config.recommender
    if start and config.nights:
        ended = learning_rate(model, model.epochs, 0)
        model = model.model_copy(update={"epochs": config.nights.epochs, "learning_rate": ended, "decay": 0.0})
    task = {
        "config": model,
        "start": start,
        "ranking": config.ranking,
        "seed": config.seed,
        "ingested": inputs["ingest"],
    }
    state, best = training.fit(train_loop, task, config.resources, out.progress)[CHECKPOINT_NAME]
    registry.save(out.data.child("model"), best, config.recommender, *sizes)
    test = RankingMetrics(state["test"], state["test_intervals"])
    log.info("recommender: best epoch %d of %d, %s", state["best_epoch"], state["epoch"], _summary(test))
    return {
        "kind": config.recommender.kind,
        "start": WARM if start else FRESH,
        "epochs": state["epoch"],
        "best_epoch": state["best_epoch"],
        "seconds_per_epoch": sum(epoch["seconds"] for epoch in state["history"]) / max(state["epoch"], 1),
        "peak_bytes": state["peak_bytes"],
        "history": state["history"],
        "validation": state["validation"],
        "validation_intervals": state["validation_intervals"],
        "test": test.metrics,
        "test_intervals": test.intervals,
    }


def _warm_start_folder(config: Config, inputs: Mapping[str, Committed]) -> Folder | None:
    """The previous night's model, if training can start from it."""
    last = inputs.get(PREVIOUS + "recommender")
    if last is None or config.nights is None or config.nights.recommender == "retrain":
        return None
    folder = last.data.child("model")
    mismatch = registry.size_mismatch(folder, config.recommender)
    if mismatch:
        log.warning("recommender: retrained from scratch, since the previous night's %s was %s", *mismatch)
        return None
    return folder


def _summary(test: RankingMetrics) -> str:
    low, high = test.intervals["ndcg@10"]
    return f"test HR@10 {test.metrics['hr@10']:.4f}, NDCG@10 {test.metrics['ndcg@10']:.4f} [{low:.4f}, {high:.4f}]"


def _import_external(config: Config, ingested: Committed, out: Attempt) -> Metrics:
    """Check a model trained elsewhere, copy it to `model/` and measure it like any other."""
    model, site, device = config.recommender, config.probe.site, config.resources.device
    assert model.foreign is not None
    parts = external_files.read_files(model.foreign, ingested)
    gpus, folder = 1 if device == "cuda" else 0, out.data.child("model")
    plans = [full_plan(ingested, split, config.seed, config.ranking) for split in ("validation", "test")]
    try:
        # On a worker: the factory need not be importable on the driver, which may have no GPU.
        if not ray.get(_check_external.options(num_gpus=gpus).remote(model, parts, site, device)):
            log.info("recommender: a run is right only at the last position, so activations run once per case")
        external_files.save(folder, parts, model, ingested.metrics["users"], ingested.metrics["items"])
        held, chunks = (plans, folder, site, device), range(n_chunks(ingested))
        counts = tasks.over(_chunk_counts, held, chunks, "measuring the model", "chunks", device)
        validation, test = map(to_metrics, functools.reduce(operator.add, counts), plans)
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, BadInput) else error) from None
    log.info("recommender: foreign, %s", _summary(test))
    return {
        "kind": "foreign",
        "weights": hashlib.sha256(parts.state).hexdigest(),
        "epochs": 0,
        "best_epoch": 0,
        "validation": validation.metrics,
        "validation_intervals": validation.intervals,
        "test": test.metrics,
        "test_intervals": test.intervals,
    }


@ray.remote
def _check_external(model: RecommenderConfig, parts: external_files.ExternalFiles, site: str, device: str) -> bool:
    """Whether one run is right at every position. Raises BadInput if the model cannot be run or probed."""
    return external_files.build_model(model, parts, site, device).every_position


def _chunk_counts(held: tuple[list[EvaluationPlan], Folder, str, str], number: int) -> np.ndarray:
    """Rank counts of one chunk for each plan."""
    plans, folder, site, device = held
    model = registry.load_folder(folder, site, device)
    return np.stack([count_chunk(model, plan, number, device) for plan in plans])
