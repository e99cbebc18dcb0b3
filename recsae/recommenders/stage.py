"""The stage `recommender`: trains the model that will be interpreted. It knows the config and the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from recsae import train_run
from recsae.config import Config
from recsae.recommenders import saved
from recsae.recommenders.training import train_loop
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def train_recommender(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Fit under Ray Train; write `model/` and the figures of the best epoch (all users, full ranking)."""
    n_items = inputs["ingest"].metrics["items"]
    task = {"config": config.recommender, "seed": config.seed, "n_items": n_items, "ingested": inputs["ingest"]}
    state, tensors = train_run.fit(train_loop, task, config.resources, out.progress)
    saved.save(out.data.child("model"), tensors["best"], config.recommender, n_items)
    log.info(
        "recommender: best epoch %d of %d, test HR@10 %.4f, NDCG@10 %.4f",
        state["best_epoch"],
        state["epoch"],
        state["test"]["hr@10"],
        state["test"]["ndcg@10"],
    )
    return {
        "kind": config.recommender.kind,
        "epochs": state["epoch"],
        "best_epoch": state["best_epoch"],
        "seconds_per_epoch": sum(epoch["seconds"] for epoch in state["history"]) / max(state["epoch"], 1),
        "validation": state["validation"],
        "test": state["test"],
    }
