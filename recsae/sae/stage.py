"""The stage `sae`: trains one sparse autoencoder or a sweep on explain users, picks one and measures its fidelity.

Training is in train_loop.py, fidelity in fidelity.py, and the rule that picks from a sweep in sweep.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from recsae.config.sae import SweepMember, candidates
from recsae.config.schema import Config
from recsae.distributed import training
from recsae.errors import BadInput
from recsae.sae import fidelity, model, sweep
from recsae.sae.accumulators import Moments
from recsae.sae.attributes import attribute_rows
from recsae.sae.controls import Trained
from recsae.sae.correlation import correlate
from recsae.sae.fidelity import FidelityPlan
from recsae.sae.fidelity_metrics import FidelityTable
from recsae.sae.model import Sae
from recsae.sae.train_loop import BlockReader, train_loop
from recsae.store.filesystem import Folder
from recsae.store.lineage import FRESH, WARM, same_probe, same_space
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)

WARM_START_RATE = 0.1
"""Share of the learning rate for a warm start. At the full rate the first steps change what latents stand for, without
improving the reconstruction."""
REPORTED_ATTRIBUTES = 100
"""Rows of single attributes in the metrics; the means are over all attributes."""


def train_sae(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Train under Ray Train from the shards; write `model/` and, for a sweep, every SAE to `sweep/`.

    Metrics are on score users, the pick is on select users, dead latents are counted on explain users. For imported
    activations there are no ranking metrics. With `nights.sae = "warm-start"` a single SAE starts from last night's
    weights, if it has the same size and kind and the embedding space is unchanged.
    """
    activations = inputs["activations"]
    stream = fidelity.moments(activations, "explain", config.resources.device)
    start = _start(config, inputs)
    members, states, folders = fit_candidates(config, activations, stream, out, start)
    trained = {str(number): Trained(folder) for number, folder in enumerate(folders)}
    plan = FidelityPlan(
        inputs["ingest"],
        inputs["recommender"],
        activations,
        "score",
        config.seed,
        config.ranking.users,
        device=config.resources.device,
    )
    on_select = fidelity.measure(plan._replace(part="select", ranked=len(members) > 1, explain=True), trained)
    table, picked, folder = [], 0, folders[0]
    if len(members) > 1:
        table = _compare(plan, config.probe.view, members, trained, on_select)
        picked = sweep.pick([row["select"] for row in table], config.sae.sweep)
        table[picked]["picked"] = True
        folder = out.data.child("model")
        model.save(folder, model.load(folders[picked]))
        log.info("sae: picked number %d of %d SAEs by %s", picked, len(members), config.sae.sweep.pick)

    explain = on_select.on_explain[str(picked)]
    k = max(1, round(explain.l0))
    untrained = fidelity.fit_untrained(activations, folder, k, config.seed, config.resources.device)
    fidelity_metrics = fidelity.table(plan._replace(resamples=config.ranking.bootstrap), untrained, stream)
    codes = {"sae": Trained(folder), "raw": None, "untrained": untrained}
    correlated = correlate(inputs["ingest"], activations, config.probe.view, codes, "score")
    log.info(
        "sae: FVU %.4f, L0 %.2f, dead %.1f %%",
        fidelity_metrics["fvu"],
        fidelity_metrics["l0"],
        100 * explain.dead_share,
    )
    return {
        **sweep.describe(members[picked]),
        "width": len(stream.mean_D),
        "start": WARM if start else FRESH,
        "steps": members[picked].config.steps,
        "best_step": states[picked]["best_step"],
        "history": states[picked]["history"],
        "alive": explain.alive,
        "dead_share": explain.dead_share,
        **fidelity_metrics,
        "correlation": {name: one.mean for name, one in correlated.items()},
        "attributes": attribute_rows(correlated, "sae")[:REPORTED_ATTRIBUTES],
        "sweep": table,
    }


def _start(config: Config, inputs: Mapping[str, Committed]) -> Folder | None:
    """Folder of last night's SAE, if tonight's starts from it."""
    last, sae = inputs.get(PREVIOUS + "sae"), config.sae
    if last is None or config.nights is None or config.nights.sae == "retrain":
        return None
    folder = last.data.child("model")
    form = last.metrics["num_latents"], last.metrics["kind"]
    if len(candidates(sae, config.seed)) > 1 or form != (sae.num_latents, sae.kind):
        log.warning("sae: trained from scratch, since last night's has another size or kind, or this is a sweep")
    elif not (same_probe(inputs, config.probe) and same_space(inputs)):
        log.warning("sae: trained from scratch, since the embedding space changed since last night")
    else:
        return folder
    return None


def fit_candidates(
    config: Config, activations: Committed, stream: Moments, out: Attempt, start: Folder | None = None
) -> tuple[Sequence[SweepMember], list[training.State], list[Folder]]:
    """Train all SAEs of the config in one read of the shards; return them, their last states and their folders.

    Each folder holds the best weights of its SAE. Raises BadInput if all SAEs diverged.
    """
    settings = config.sae
    if start and config.nights:
        rate = WARM_START_RATE * settings.rate
        settings = settings.model_copy(update={"steps": config.nights.steps, "learning_rate": rate})
    members, width = candidates(settings, config.seed), len(stream.mean_D)
    reader = BlockReader.remote(activations, "explain", config.seed)  # type: ignore[attr-defined]
    task = {
        "candidates": members,
        "start": start,
        "seed": config.seed,
        "width": width,
        "mean": stream.mean_D.astype("float32").tolist(),
        "scale": stream.scale,
        "rows": stream.by_shard,
        "activations": activations,
        "reader": reader,
    }
    resources = config.resources
    if 1 < len(members) < resources.train_workers:  # each worker trains its own SAEs
        resources = resources.model_copy(update={"train_workers": len(members), "min_train_workers": None})
    try:
        fitted = training.fit(train_loop, task, resources, out.progress)
    finally:
        ray.kill(reader)
    states, folders = [], []
    for number, one in enumerate(members):
        state, best = fitted[str(number)]
        sae = Sae(width, one.config.num_latents, one.config.kind, one.config.k)
        sae.load_state_dict(best)
        folder = out.data.child("sweep", str(number)) if len(members) > 1 else out.data.child("model")
        model.save(folder, sae)
        states.append(state)
        folders.append(folder)
    _refuse_divergence(members, states)
    return members, states, folders


def _compare(
    plan: FidelityPlan,
    view: str,
    members: Sequence[SweepMember],
    trained: Mapping[str, Trained],
    on_select: FidelityTable,
) -> list[dict[str, Any]]:
    """The table of a sweep: each SAE's settings, and its metrics on select users and on score users."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part, measured in (("select", on_select), ("score", fidelity.measure(plan, trained))):
        correlated = correlate(plan.ingested, plan.activations, view, trained, part)
        found[part] = [
            sweep.metrics_of(measured.rows[name], measured.active[name], on_select.on_explain[name], correlated[name])
            for name in trained
        ]
    return [
        {**sweep.describe(one), "picked": False, "select": select, "score": score}
        for one, select, score in zip(members, found["select"], found["score"], strict=True)
    ]


def _refuse_divergence(members: Sequence[SweepMember], states: Sequence[training.State]) -> None:
    """Raise BadInput if all SAEs diverged; of a sweep some may, and keep their best weights from before."""
    lost = [one.config for one, state in zip(members, states, strict=True) if state["diverged"]]
    for config in lost:
        log.warning("sae: %d latents at a learning rate of %g diverged", config.num_latents, config.rate)
    if len(lost) == len(members):
        raise BadInput(f"sae.learning_rate = {lost[0].rate:g}: training diverged; choose a smaller one")
