"""The stage `sae`: trains one sparse autoencoder or a sweep on explain users, picks one, and says what it keeps.

It knows the store and the order of things; fitting, measuring and the rule of the pick are in the files beside it.
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
from recsae.sae.attributes import side_by_side
from recsae.sae.controls import Trained
from recsae.sae.correlating import correlate
from recsae.sae.fidelity import FidelityPlan
from recsae.sae.fidelity_metrics import FidelityRow
from recsae.sae.model import Sae
from recsae.sae.train_loop import Feeder, train_loop
from recsae.store.filesystem import Folder
from recsae.store.lineage import FRESH, WARM, same_probe, same_space
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)

AGAIN = 0.1
"""Share of the learning rate of an SAE that goes on: with all of it, the first steps lead latents away from what they
stood for, and the reconstruction is no better for it."""
ATTRIBUTES_TOLD = 100
"""Rows of single attributes in the metrics; the means are over all."""


def train_sae(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Fit under Ray Train from the shards; write `model/` and, of a sweep, every SAE to `sweep/`.

    Figures are on score users, what chooses on select users, dead latents on explain users. Where the activations were
    given, how the recommendations fare is not measured. With `nights.sae = "warm-start"` a single SAE goes on from last
    night's, where it has the same form and the recommender's vectors still mean what they did.
    """
    activations = inputs["activations"]
    stream = fidelity.moments(activations, "explain", config.resources.device)
    start = _start(config, inputs)
    every, states, folders = fit_candidates(config, activations, stream, out, start)
    trained = {str(number): Trained(folder) for number, folder in enumerate(folders)}
    survey = FidelityPlan(
        inputs["ingest"],
        inputs["recommender"],
        activations,
        "score",
        config.seed,
        config.ranking.users,
        device=config.resources.device,
    )
    on_select = fidelity.measure(survey._replace(part="select", ranked=len(every) > 1, explain=True), trained)
    table, chosen, folder = [], 0, folders[0]
    if len(every) > 1:
        table = _compare(survey, config.probe.view, every, trained, on_select)
        chosen = sweep.pick([row["select"] for row in table], config.sae.sweep)
        table[chosen]["picked"] = True
        folder = out.data.child("model")
        model.save(folder, model.load(folders[chosen]))
        log.info("sae: of %d SAEs number %d goes on, by %s", len(every), chosen, config.sae.sweep.pick)

    explain = on_select.on_explain[str(chosen)]
    k = max(1, round(explain.l0))
    untrained = fidelity.untrained(activations, folder, k, config.seed, config.resources.device)
    kept = fidelity.table(survey._replace(resamples=config.ranking.bootstrap), untrained, stream)
    codes = {"sae": Trained(folder), "raw": None, "untrained": untrained}
    correlated = correlate(inputs["ingest"], activations, config.probe.view, codes, "score")
    log.info("sae: FVU %.4f, L0 %.2f, dead %.1f %%", kept["fvu"], kept["l0"], 100 * explain.dead_share)
    return {
        **sweep.described(every[chosen]),
        "width": len(stream.mean_D),
        "start": WARM if start else FRESH,
        "steps": every[chosen].config.steps,
        "best_step": states[chosen]["best_step"],
        "history": states[chosen]["history"],
        "alive": explain.alive,
        "dead_share": explain.dead_share,
        **kept,
        "correlation": {name: one.mean for name, one in correlated.items()},
        "attributes": side_by_side(correlated, "sae")[:ATTRIBUTES_TOLD],
        "sweep": table,
    }


def _start(config: Config, inputs: Mapping[str, Committed]) -> Folder | None:
    """Last night's SAE, if tonight's goes on from it."""
    last, sae = inputs.get(PREVIOUS + "sae"), config.sae
    if last is None or config.nights is None or config.nights.sae == "retrain":
        return None
    folder = last.data.child("model")
    form = last.metrics["num_latents"], last.metrics["kind"]
    if len(candidates(sae, config.seed)) > 1 or form != (sae.num_latents, sae.kind):
        log.warning("sae: trained anew, since last night's is of another form or several are compared")
    elif not (same_probe(inputs, config.probe) and same_space(inputs)):
        log.warning("sae: trained anew, since the recommender's vectors are not what they were last night")
    else:
        return folder
    return None


def fit_candidates(
    config: Config, activations: Committed, stream: Moments, out: Attempt, start: Folder | None = None
) -> tuple[Sequence[SweepMember], list[training.State], list[Folder]]:
    """Train what the config asks for by one read of the shards; their last states, and folders of their best weights.

    Raises BadInput where all of them diverged.
    """
    settings = config.sae
    if start and config.nights:
        rate = AGAIN * settings.rate
        settings = settings.model_copy(update={"steps": config.nights.steps, "learning_rate": rate})
    every, width = candidates(settings, config.seed), len(stream.mean_D)
    feeder = Feeder.remote(activations, "explain", config.seed)  # type: ignore[attr-defined]
    task = {
        "candidates": every,
        "start": start,
        "seed": config.seed,
        "width": width,
        "mean": stream.mean_D.astype("float32").tolist(),
        "scale": stream.scale,
        "rows": stream.by_shard,
        "activations": activations,
        "feeder": feeder,
    }
    resources = config.resources
    if 1 < len(every) < resources.train_workers:  # each worker trains SAEs of its own
        resources = resources.model_copy(update={"train_workers": len(every), "min_train_workers": None})
    try:
        fitted = training.fit(train_loop, task, resources, out.progress)
    finally:
        ray.kill(feeder)
    states, folders = [], []
    for number, one in enumerate(every):
        state, best = fitted[str(number)]
        sae = Sae(width, one.config.num_latents, one.config.kind, one.config.k)
        sae.load_state_dict(best)
        folder = out.data.child("sweep", str(number)) if len(every) > 1 else out.data.child("model")
        model.save(folder, sae)
        states.append(state)
        folders.append(folder)
    _refuse_divergence(every, states)
    return every, states, folders


def _compare(
    survey: FidelityPlan,
    view: str,
    every: Sequence[SweepMember],
    trained: Mapping[str, Trained],
    on_select: FidelityRow,
) -> list[dict[str, Any]]:
    """The table of a sweep: what each SAE is, and its figures on select users and on score users."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part, measured in (("select", on_select), ("score", fidelity.measure(survey, trained))):
        correlated = correlate(survey.ingested, survey.activations, view, trained, part)
        found[part] = [
            sweep.figures(measured.rows[name], measured.active[name], on_select.on_explain[name], correlated[name])
            for name in trained
        ]
    return [
        {**sweep.described(one), "picked": False, "select": select, "score": score}
        for one, select, score in zip(every, found["select"], found["score"], strict=True)
    ]


def _refuse_divergence(every: Sequence[SweepMember], states: Sequence[training.State]) -> None:
    """Some SAEs of a sweep may diverge, and keep what was best before; not all of them."""
    lost = [one.config for one, state in zip(every, states, strict=True) if state["diverged"]]
    for config in lost:
        log.warning("sae: %d latents at a learning rate of %g diverged", config.num_latents, config.rate)
    if len(lost) == len(every):
        raise BadInput(f"sae.learning_rate = {lost[0].rate:g}: the training diverged; choose a smaller one")
