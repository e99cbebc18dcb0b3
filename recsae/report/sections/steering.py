"""What the report says about turning concepts: what a wished share of the recommendations costs, by the concept's
latent and by its linear probe, and the curves of the concepts that turning moves most beyond chance.

It knows the names of the stage's metrics and tables and nothing of HTML or pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from recsae.config.schema import Config
from recsae.report.charts.steering_curves import WORST, Picture, SteeredConcept, pictures
from recsae.report.steering_steps import SteeringStep, read_steps
from recsae.report.tables import read_if_there
from recsae.schemas.steering import WISHES
from recsae.store.run_store import Committed
from recsae.text.formatting import DASH, count, fine_share, look_up, number, plain, signed_share

MOST = 50
"""Concepts in the table."""
DRAWN = 12
NOT_REACHED = "not reached"


class ConceptTarget(NamedTuple):
    """One concept: what its cheapest latent takes and gives, and what the probe costs."""

    concept: str
    latent: int | None
    clean: str
    wished: str
    strength: str
    share: str
    ndcg: str
    probe_ndcg: str


class Numbers(NamedTuple):
    """One line below the pictures: a strength, or taken out."""

    turned: str
    share: str
    ndcg: str
    probe: str
    probe_ndcg: str
    chance: str
    chance_ndcg: str


class Turning(NamedTuple):
    why_not: str
    """Why nothing was turned; empty where something was, and all else counts then."""
    unchecked: int
    """Interpretable latents whose name no attribute can be checked against."""
    latents: int = 0
    above: int = 0
    """Those that raise their concept's share beyond chance at the reference strength."""
    concepts: int = 0
    concepts_above: int = 0
    reference: str = DASH
    factor: str = DASH
    users: str = DASH
    noise: str = ""
    """How far a change of NDCG@10 may be off, by the median latent."""
    scaled: bool = False
    probed: bool = False
    wishes: tuple[ConceptTarget, ...] = ()
    more: int = 0
    """Concepts beyond MOST."""
    pictures: tuple[Picture, ...] = ()
    numbers: tuple[tuple[Numbers, ...], ...] = ()
    """Of each picture."""
    worst: str = f"{-100 * WORST:.0f}\u00a0%"


def about_turning(config: Config, inputs: Mapping[str, Committed]) -> Turning:
    """From the stage `steering`."""
    found = inputs.get("steering")
    unchecked = round(number(look_up(found.metrics if found else {}, "unchecked")) or 0)
    steps = read_steps(inputs)
    wished = read_if_there(inputs, "steering", "steering_wishes.parquet", WISHES.names)
    if not steps or wished is None:
        return Turning(_why_not(config, unchecked), unchecked)
    wishes: dict[str, dict[str, dict[str, Any]]] = {}
    for row in wished.to_pylist():
        wishes.setdefault(row["concept"], {})[row["direction"]] = row
    at_reference = {
        latent: step for latent, some in steps.items() for step in some if step.strength == config.steering.reference
    }
    above = {latent for latent, step in at_reference.items() if step.above_chance > 0}
    concept_of = {latent: some[0].concept for latent, some in steps.items()}
    rows = sorted(((name, way) for name, way in wishes.items() if "latent" in way), key=_dearness)
    turns = _turns(wishes, concept_of, steps, at_reference)
    drawn = pictures(turns[:DRAWN])
    every = [step for some in steps.values() for step in some]
    return Turning(
        why_not="",
        unchecked=unchecked,
        latents=len(steps),
        above=len(above),
        concepts=len(wishes),
        concepts_above=len({concept_of[latent] for latent in above}),
        reference=plain(config.steering.reference),
        factor=plain(config.steering.target_multiple),
        users=count(max(step.users for step in every)),
        noise=_noise(list(at_reference.values())),
        scaled=any(step.scaled for step in every),
        probed=any("probe" in way for way in wishes.values()),
        wishes=tuple(_wish(name, way) for name, way in rows[:MOST]),
        more=max(len(rows) - MOST, 0),
        pictures=drawn,
        numbers=tuple(tuple(_numbers(step) for step in picture.turn.steps) for picture in drawn),
    )


def _why_not(config: Config, unchecked: int) -> str:
    if config.recommender.kind == "given":
        return "the activations were given, and there is no model here to ask again"
    if unchecked:
        return (
            f"no interpretable latent has a concept that the catalogue’s attributes tell; {count(unchecked)} "
            f"ha{'s' if unchecked == 1 else 've'} a freely written name, and no item can be checked against it"
        )
    return "no latent is interpretable, so there is no concept to turn"


def _dearness(row: tuple[str, Mapping[str, Mapping[str, Any]]]) -> tuple[bool, float, str]:
    """The cheapest first; what none of the strengths reaches stands last."""
    name, way = row
    change = number(way["latent"]["ndcg_change"])
    return change is None, -(change or 0.0), name


def _wish(name: str, way: Mapping[str, Mapping[str, Any]]) -> ConceptTarget:
    own = way["latent"]
    reached = own["strength"] is not None
    probe = way.get("probe")
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


def _turns(
    wishes: Mapping[str, Mapping[str, Mapping[str, Any]]],
    concept_of: Mapping[int, str],
    steps: Mapping[int, list[SteeringStep]],
    at_reference: Mapping[int, SteeringStep],
) -> list[SteeredConcept]:
    """Every concept with the latent that is shown for it, the farthest above chance first.

    That latent is the cheapest one for what is wished; where none buys it, the one that is farthest above chance.
    """
    latents: dict[str, list[int]] = {}
    for latent in sorted(at_reference):
        latents.setdefault(concept_of.get(latent, ""), []).append(latent)
    found = []
    for name, way in wishes.items():
        own = look_up(way, "latent", "latent")
        if own not in at_reference:
            own = max(latents.get(name, []), key=lambda latent: at_reference[latent].above_chance, default=None)
        if own is not None:
            turn = SteeredConcept(
                name, own, steps[own][0].clean, look_up(way, "latent", "wished_share"), tuple(steps[own])
            )
            found.append((-at_reference[own].above_chance, name, turn))
    return [turn for *_, turn in sorted(found, key=lambda one: one[:2])]


def _noise(at_reference: Sequence[SteeringStep]) -> str:
    halves = [
        (step.ndcg_upper - step.ndcg_lower) / 2
        for step in at_reference
        if step.ndcg_upper is not None and step.ndcg_lower is not None
    ]
    return fine_share(median(halves)) if halves else ""


def _numbers(step: SteeringStep) -> Numbers:
    return Numbers(
        "taken out" if step.strength is None else f"{step.strength:g}".replace("-", "\u2212"),
        f"{fine_share(step.share)} [{fine_share(step.lower)}, {fine_share(step.upper)}]",
        signed_share(step.ndcg),
        fine_share(step.probe),
        signed_share(step.probe_ndcg),
        f"{fine_share(step.null_lower)} to {fine_share(step.null_upper)}",
        signed_share(step.null_ndcg),
    )
