"""The report's section on steering: the cost of a target share of the recommendations, by the concept's latent and by
its linear probe, and the curves of the concepts that steering moves furthest beyond chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from recsae.config.schema import Config
from recsae.report.charts.steering_curves import MAX_DRAWN_LOSS, Picture, SteeredConcept, pictures
from recsae.report.steering_steps import SteeringStep, read_steps
from recsae.report.tables import read_optional
from recsae.schemas.steering import WISHES
from recsae.store.run_store import Committed
from recsae.text.formatting import DASH, count, fine_share, look_up, number, plain, signed_share

MAX_SHOWN = 50
"""Concepts in the table."""
MAX_PICTURES = 12
NOT_REACHED = "not reached"


class ConceptTarget(NamedTuple):
    """One concept: strength, share and cost by its cheapest latent, and the cost by the probe."""

    concept: str
    latent: int | None
    clean: str
    target_share: str
    strength: str
    share: str
    ndcg: str
    probe_ndcg: str


class SteeringNumbers(NamedTuple):
    """One row of the table behind the charts: a strength, or ablation."""

    strength: str
    share: str
    ndcg: str
    probe: str
    probe_ndcg: str
    chance: str
    chance_ndcg: str


class SteeringFacts(NamedTuple):
    skipped_because: str
    """Why nothing was steered; if empty, the other fields are set."""
    unchecked: int
    """Interpretable latents whose name cannot be checked against attributes."""
    latents: int = 0
    above: int = 0
    """Latents that raise their concept's share beyond chance at the reference strength."""
    concepts: int = 0
    concepts_above: int = 0
    reference: str = DASH
    factor: str = DASH
    users: str = DASH
    noise: str = ""
    """Half width of the interval of a change of NDCG@10, for the median latent."""
    scaled: bool = False
    probed: bool = False
    targets: tuple[ConceptTarget, ...] = ()
    more: int = 0
    """Concepts beyond MOST."""
    pictures: tuple[Picture, ...] = ()
    numbers: tuple[tuple[SteeringNumbers, ...], ...] = ()
    """For each picture."""
    worst: str = f"{-100 * MAX_DRAWN_LOSS:.0f}\u00a0%"


def about_steering(config: Config, inputs: Mapping[str, Committed]) -> SteeringFacts:
    """The section, from the outputs of the stage `steering`."""
    found = inputs.get("steering")
    unchecked = round(number(look_up(found.metrics if found else {}, "unchecked")) or 0)
    steps = read_steps(inputs)
    target_table = read_optional(inputs, "steering", "steering_wishes.parquet", WISHES.names)
    if not steps or target_table is None:
        return SteeringFacts(_why_not(config, unchecked), unchecked)
    targets: dict[str, dict[str, dict[str, Any]]] = {}
    for row in target_table.to_pylist():
        targets.setdefault(row["concept"], {})[row["direction"]] = row
    at_reference = {
        latent: step for latent, some in steps.items() for step in some if step.strength == config.steering.reference
    }
    above = {latent for latent, step in at_reference.items() if step.above_chance > 0}
    concept_of = {latent: some[0].concept for latent, some in steps.items()}
    rows = sorted(
        ((name, by_direction) for name, by_direction in targets.items() if "latent" in by_direction), key=_cost_order
    )
    steered = _steered_concepts(targets, concept_of, steps, at_reference)
    drawn = pictures(steered[:MAX_PICTURES])
    every = [step for some in steps.values() for step in some]
    return SteeringFacts(
        skipped_because="",
        unchecked=unchecked,
        latents=len(steps),
        above=len(above),
        concepts=len(targets),
        concepts_above=len({concept_of[latent] for latent in above}),
        reference=plain(config.steering.reference),
        factor=plain(config.steering.target_multiple),
        users=count(max(step.users for step in every)),
        noise=_noise(list(at_reference.values())),
        scaled=any(step.scaled for step in every),
        probed=any("probe" in by_direction for by_direction in targets.values()),
        targets=tuple(_target(name, by_direction) for name, by_direction in rows[:MAX_SHOWN]),
        more=max(len(rows) - MAX_SHOWN, 0),
        pictures=drawn,
        numbers=tuple(tuple(_numbers(step) for step in picture.steered.steps) for picture in drawn),
    )


def _why_not(config: Config, unchecked: int) -> str:
    if config.recommender.kind == "given":
        return "the activations were given, so there is no model to steer"
    if unchecked:
        return (
            f"no interpretable latent has a concept in terms of the catalogue’s attributes; {count(unchecked)} "
            f"ha{'s' if unchecked == 1 else 've'} a freely written name, which cannot be checked against items"
        )
    return "no latent is interpretable, so there is no concept to steer"


def _cost_order(row: tuple[str, Mapping[str, Mapping[str, Any]]]) -> tuple[bool, float, str]:
    """Sort key: cheapest first, targets that no strength reaches last."""
    name, by_direction = row
    change = number(by_direction["latent"]["ndcg_change"])
    return change is None, -(change or 0.0), name


def _target(name: str, by_direction: Mapping[str, Mapping[str, Any]]) -> ConceptTarget:
    own = by_direction["latent"]
    reached = own["strength"] is not None
    probe = by_direction.get("probe")
    return ConceptTarget(
        name,
        own["latent"],
        fine_share(own["clean_share"]),
        fine_share(own["wished_share"]),
        f"{own['strength']:.2f}" if reached else NOT_REACHED,
        fine_share(own["share"]),
        signed_share(own["ndcg_change"]),
        NOT_REACHED if probe and probe["strength"] is None else signed_share(look_up(probe or {}, "ndcg_change")),
    )


def _steered_concepts(
    targets: Mapping[str, Mapping[str, Mapping[str, Any]]],
    concept_of: Mapping[int, str],
    steps: Mapping[int, list[SteeringStep]],
    at_reference: Mapping[int, SteeringStep],
) -> list[SteeredConcept]:
    """Every concept with the latent shown for it, furthest above chance first.

    That is the latent that reaches the target most cheaply or, if none reaches it, the one furthest above chance.
    """
    latents: dict[str, list[int]] = {}
    for latent in sorted(at_reference):
        latents.setdefault(concept_of.get(latent, ""), []).append(latent)
    found = []
    for name, by_direction in targets.items():
        own = look_up(by_direction, "latent", "latent")
        if own not in at_reference:
            own = max(latents.get(name, []), key=lambda latent: at_reference[latent].above_chance, default=None)
        if own is not None:
            steered = SteeredConcept(
                name, own, steps[own][0].clean, look_up(by_direction, "latent", "wished_share"), tuple(steps[own])
            )
            found.append((-at_reference[own].above_chance, name, steered))
    return [steered for *_, steered in sorted(found, key=lambda one: one[:2])]


def _noise(at_reference: Sequence[SteeringStep]) -> str:
    halves = [
        (step.ndcg_upper - step.ndcg_lower) / 2
        for step in at_reference
        if step.ndcg_upper is not None and step.ndcg_lower is not None
    ]
    return fine_share(median(halves)) if halves else ""


def _numbers(step: SteeringStep) -> SteeringNumbers:
    return SteeringNumbers(
        "ablated" if step.strength is None else f"{step.strength:g}".replace("-", "\u2212"),
        f"{fine_share(step.share)} [{fine_share(step.lower)}, {fine_share(step.upper)}]",
        signed_share(step.ndcg),
        fine_share(step.probe),
        signed_share(step.probe_ndcg),
        f"{fine_share(step.null_lower)} to {fine_share(step.null_upper)}",
        signed_share(step.null_ndcg),
    )
