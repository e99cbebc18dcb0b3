"""The stage `steering`: amplifies, suppresses and ablates every interpretable latent, and measures what that does to
the recommendations.

Beside each latent stand a null, random directions of the same length, and a strong baseline, the linear probe of its
concept. Strengths are chosen on select users and reported for score users. The interventions are in interventions.py,
the sums in effects.py, the tables in rows.py and target_share.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.concepts.best_candidate import BestCandidate, read_chosen
from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.sae import model as sae_files
from recsae.schemas.steering import STEERING, WISHES
from recsae.statements.language import ITEM_BODIES
from recsae.stats.sampling import draw
from recsae.steering.effects import Effects, SteeringSetup, measure
from recsae.steering.interventions import InterventionPlan, plan_of, steer
from recsae.steering.probes import probes
from recsae.steering.rows import Figures, SteeredLatent, steering_rows
from recsae.steering.target_share import target_rows
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


class Subjects(NamedTuple):
    """What is steered: latents, the concepts that they stand for, and which item is a member of which concept.

    Members satisfy the statement; for a behaviour or free text, they are the latent's most telling items.
    """

    steered: list[SteeredLatent]
    names: list[str]
    bears_IC: sparse.csr_array
    unchecked: int
    """Interpretable latents that no item stands for, so that there is no share to measure."""


def measure_steering(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `steering.parquet` and `steering_wishes.parquet`; both empty where there is no model to steer."""
    start = time.monotonic()
    catalogue = Catalogue.read(inputs["ingest"])
    chosen = read_chosen(inputs, catalogue)
    interpretable = [latent for latent, one in chosen.items() if one.interpretable]
    drawn = draw(interpretable, config.steering.latents, config.seed)
    subjects = subjects_of({latent: chosen[latent] for latent in drawn}, catalogue.n_items)
    given = inputs["recommender"].metrics["kind"] == "given"
    if given or not subjects.steered:
        log.info(
            "steering: %s; nothing to steer",
            "no model" if given else "no interpretable latent has items that stand for it",
        )
        out.write_table("steering.parquet", STEERING.empty_table(), STEERING)
        out.write_table("steering_wishes.parquet", WISHES.empty_table(), WISHES)
        return {"latents": 0, "concepts": 0, "unchecked": subjects.unchecked}
    setup = setup_of(config, inputs, subjects, catalogue)
    effects = {part: measure(setup, part) for part in ("select", "score")}
    figures = {part: Figures(found, setup.plan, len(subjects.names)) for part, found in effects.items()}
    sae = sae_files.load(setup.sae)
    rows = [
        row
        for part, found in figures.items()
        for row in steering_rows(
            part,
            found,
            subjects.steered,
            subjects.names,
            catalogue.n_items,
            lambda latent, strength: steer(sae, latent, strength, setup.site),
        )
    ]
    out.write_table("steering.parquet", pa.Table.from_pylist(rows, STEERING), STEERING)
    targets = target_rows(
        figures["select"], figures["score"], subjects.steered, subjects.names, config.steering.target_multiple
    )
    out.write_table("steering_wishes.parquet", pa.Table.from_pylist(targets, WISHES), WISHES)
    return _metrics(config, effects, setup.plan, rows, subjects, time.monotonic() - start)


def subjects_of(chosen: Mapping[int, BestCandidate], n_items: int) -> Subjects:
    """The interpretable latents that have members; latents with the same members share a concept, the first one's.

    Members that satisfy a statement and items that merely tell for a latent are never one concept.
    """
    place: dict[tuple[bool, bytes], int] = {}
    steered: list[SteeredLatent] = []
    names: list[str] = []
    columns = []
    unchecked = 0
    for latent, one in sorted(chosen.items()):
        if not one.interpretable:
            continue
        if not len(one.members):
            unchecked += 1
            continue
        about_items = one.statement is not None and isinstance(one.statement.body, ITEM_BODIES)
        key = about_items, one.members.tobytes()
        if key not in place:
            place[key] = len(names)
            names.append(one.concept)
            columns.append(one.members)
        steered.append(SteeredLatent(latent, place[key]))
    concept_N = np.repeat(np.arange(len(columns)), [len(members) for members in columns])
    item_N = np.concatenate([*columns, np.empty(0, dtype=np.int32)])
    ones = np.ones(len(item_N), dtype=np.int64)
    bears_IC = sparse.csr_array((ones, (item_N, concept_N)), shape=(n_items, len(columns)))
    return Subjects(steered, names, bears_IC, unchecked)


def setup_of(
    config: Config, inputs: Mapping[str, Committed], subjects: Subjects, catalogue: Catalogue
) -> SteeringSetup:
    """Everything that a task needs."""
    activations, folder = inputs["activations"], inputs["sae"].data.child("model")
    site = str(activations.metrics["site"])
    sae = sae_files.load(folder)
    probe_CD = np.zeros((0, sae.width), dtype=np.float32)
    if site != "item":  # nothing is added to items' vectors
        probe_CD = probes(activations, config.probe.view, subjects.bears_IC)
    plan = plan_of(
        sae,
        [one.latent for one in subjects.steered],
        [one.concept for one in subjects.steered],
        probe_CD,
        config.steering.strengths,
        site,
        config.steering.null_directions,
        config.seed,
    )
    return SteeringSetup(
        inputs["ingest"],
        inputs["recommender"],
        folder,
        site,
        plan,
        subjects.bears_IC,
        catalogue.popularity,
        config.steering.users,
        config.ranking.bootstrap,
        config.seed,
        config.resources.device,
    )


def _metrics(
    config: Config,
    effects: Mapping[str, Effects],
    plan: InterventionPlan,
    rows: list[dict[str, Any]],
    subjects: Subjects,
    seconds: float,
) -> Metrics:
    at_reference = [row for row in rows if row["part"] == "score" and row["strength"] == config.steering.reference]
    moving = sum(bool(row["share_lower"] > row["null_upper"]) for row in at_reference)
    tried = len(plan.own_E) * sum(found.cases for found in effects.values())
    log.info(
        "steering: %d latents of %d concepts; amplified by %g, %d raise the share of their concept above the null; "
        "%d interventions of %d users, %.1f s",
        len(subjects.steered),
        len(subjects.names),
        config.steering.reference,
        moving,
        len(plan.own_E),
        sum(found.users for found in effects.values()),
        seconds,
    )
    return {
        "latents": len(subjects.steered),
        "concepts": len(subjects.names),
        "unchecked": subjects.unchecked,
        "above_null": moving,
        "nudges": len(plan.own_E),
        "cases": {part: found.cases for part, found in effects.items()},
        "tried_per_second": tried / seconds,
    }
