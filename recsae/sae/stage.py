"""The stage `sae`: trains the sparse autoencoder on explain users and says what it keeps. It knows the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from recsae import train_run
from recsae.config import Config
from recsae.sae import fidelity, model
from recsae.sae.training import train_loop
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def train_sae(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Fit under Ray Train from the shards; write `model/` and measure fidelity on score users.

    Without a model, where the activations were given, how the recommendations fare is not measured.
    """
    activations = inputs["activations"]
    width = activations.metrics["width"]
    mean, scale = fidelity.moments(activations, "explain")
    task = {
        "config": config.sae,
        "seed": config.seed,
        "width": width,
        "mean": mean.astype("float32").tolist(),
        "scale": scale,
        "activations": activations,
    }
    state, best = train_run.fit(train_loop, task, config.resources, out.progress)
    folder = out.data.child("model")
    model.save(folder, best, config.sae, width)
    kept = fidelity.measure(inputs["ingest"], inputs["recommender"], activations, folder)
    log.info("sae: FVU %.4f, L0 %.2f, dead %.1f %%", kept["fvu"], kept["l0"], 100 * kept["dead_share"])
    ranked = kept["fidelity"]
    if ranked is not None:
        clean, through = ranked["clean"]["ndcg@10"], ranked["through_sae"]["ndcg@10"]
        log.info("sae: NDCG@10 %.4f, through the SAE %.4f", clean, through)
    return {
        "num_latents": config.sae.num_latents,
        "k": config.sae.k,
        "width": width,
        "steps": state["step"],
        "best_step": state["best_step"],
        "history": state["history"],
        **kept,
    }
