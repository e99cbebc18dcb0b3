"""What is planted is found, in its kind; what is accepted is true; nothing is accepted of noise and controls."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from recsae.schemas.base import PARTS
from recsae.statements import evaluation, reading, stage
from recsae.statements.language import from_json
from tests.conftest import committing
from tests.sae.fake_ray import without_ray
from tests.statements.made import fires
from tests.statements.worlds import Planted, World, write_world

pytestmark = pytest.mark.slow
TRUE = 0.9
"""A statement is true where its balanced accuracy for the rule itself, on users kept from everything, is this high."""


class Told(NamedTuple):
    """A row of `statements.parquet` beside the truth on kept users."""

    latent: Planted
    row: dict[str, Any]
    agreement: float
    """Balanced accuracy of the statement for the rule; NaN for noise."""
    right: float
    """Balanced accuracy of the statement for the firing itself."""


class Shuffled(NamedTuple):
    """A statement before another latent."""

    words: str
    accepted_at_home: bool
    row: dict[str, Any]
    right: float
    """Balanced accuracy for the other latent's firing on kept users."""


class Outcome(NamedTuple):
    told: list[Told]
    shuffled: list[Shuffled]
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("world")
    commit = committing(folder / "store")
    world = write_world(folder, commit)
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        done = commit("statements", lambda out: stage.describe_latents(world.config, world.inputs, out))
    rows = done.read_table("statements.parquet").to_pylist()
    scores = done.read_table("statement_scores.parquet").to_pylist()
    return _compare(world, rows, [row for row in scores if row["role"] == "shuffled"], done.metrics)


def _compare(
    world: World, rows: list[dict[str, Any]], shuffled: list[dict[str, Any]], metrics: dict[str, Any]
) -> Outcome:
    names = reading.names(world.kept.activations)
    parts = [reading.read_part(world.kept, name, part) for name in names for part in PARTS]
    statements = [from_json(row["statement"]) for row in rows]
    holds_BS = np.concatenate([evaluation.holds(statements, world.features, part.cases) for part in parts])
    fires_BH = np.stack(
        [np.concatenate([fires(part, latent) for part in parts]) for latent in range(len(world.latents))], axis=1
    )
    told = []
    for number, (latent, row) in enumerate(zip(world.latents, rows, strict=True)):
        agreement = np.nan
        if latent.rule:
            rule_B = np.concatenate([latent.rule(part.cases) for part in parts])
            agreement = _balanced(holds_BS[:, number], rule_B)
        told.append(Told(latent, row, agreement, _balanced(holds_BS[:, number], fires_BH[:, number])))
    before = []
    for row in shuffled:
        home, other = row["latent"], row["on_latent"]
        words = f"{world.latents[home].words} before {world.latents[other].words}"
        right = _balanced(holds_BS[:, home], fires_BH[:, other])
        before.append(Shuffled(words, rows[home]["accepted"], row, right))
    return Outcome(told, before, metrics)


def _balanced(said_B: np.ndarray, true_B: np.ndarray) -> float:
    return float((said_B[true_B].mean() + 1 - said_B[~true_B].mean()) / 2)


@pytest.mark.parametrize("family", ["formula", "item set", "behaviour"])
def test_what_is_planted_is_found_in_its_kind(outcome: Outcome, family: str) -> None:
    of = [one for one in outcome.told if one.latent.family == family]
    missed = [one for one in of if not (one.row["accepted"] and one.row["kind"] == family and one.agreement >= TRUE)]
    print(f"{family}: {len(of) - len(missed)} of {len(of)} found; agreement {np.median([o.agreement for o in of]):.3f}")
    for one in missed:
        print(
            f"  {one.latent.words} | {one.row['accepted']} | {one.row['words']} | {one.agreement:.3f} {one.right:.3f}"
        )
    assert len(missed) <= 0.05 * len(of)


def test_what_is_accepted_is_true(outcome: Outcome) -> None:
    accepted = [one for one in outcome.told if one.row["accepted"]]
    true = sum(one.agreement >= TRUE for one in accepted)
    print(f"{true} of {len(accepted)} accepted are true")
    assert true >= 0.95 * len(accepted) > 0


def test_nothing_is_accepted_of_noise(outcome: Outcome) -> None:
    accepted = [one.row["words"] for one in outcome.told if one.latent.family == "noise" and one.row["accepted"]]
    print(f"noise accepted: {accepted}")
    assert accepted == []


def test_controls_are_not_accepted(outcome: Outcome) -> None:
    """A shuffled statement of a latent without a rule is any region of items, and may overlap the other latent's: what
    passes is wrong unless it holds on the kept users as well."""
    metrics = outcome.metrics
    passing = [one for one in outcome.shuffled if one.row["passes"]]
    wrong = [one for one in passing if one.right <= metrics["bar"]]
    of_accepted = [one for one in outcome.shuffled if one.accepted_at_home]
    passing_of_accepted = [one for one in passing if one.accepted_at_home]
    print(
        f"bar {metrics['bar']:.3f}; {len(passing)} of {len(outcome.shuffled)} shuffled pass, {len(wrong)} of them "
        f"wrong; {len(passing_of_accepted)} of {len(of_accepted)} of accepted statements; "
        f"{metrics['null_accepted']} of {metrics['null']} nulls"
    )
    for one in passing:
        print(f"  {one.words} | {one.row['confidence']:.3f} from {one.row['lower']:.3f}, kept users {one.right:.3f}")
    assert len(of_accepted) > 50 and metrics["null"] > 100
    assert len(wrong) <= 0.01 * len(outcome.shuffled)
    assert len(passing_of_accepted) <= 0.01 * len(of_accepted)
    assert metrics["null_accepted"] <= 0.05 * metrics["null"]


def test_confidence_is_the_share_of_right_answers(outcome: Outcome) -> None:
    accepted = [one for one in outcome.told if one.row["accepted"]]
    gap = np.array([one.row["confidence"] - one.right for one in accepted])
    print(f"confidence less share of right answers: mean {gap.mean():+.4f}, largest {np.abs(gap).max():.3f}")
    assert abs(gap.mean()) <= 0.03 and (np.abs(gap) <= 0.03).mean() >= 0.95


def test_formulas_do_not_pretend_to_communities(outcome: Outcome) -> None:
    glosses = [one.row["gloss_confidence"] for one in outcome.told if one.latent.family == "item set"]
    known = [value for value in glosses if value is not None]
    print(f"glosses of communities: at most {max(known, default=0.5):.3f}")
    assert not any(one.row["kind"] == "formula" for one in outcome.told if one.latent.family == "item set")
