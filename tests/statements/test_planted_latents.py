"""The stage on latents whose rule is known: what it finds, what it believes, and how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsae.statements import stage
from recsae.statements.evaluation import holds
from recsae.statements.language import from_json
from tests.conftest import committing
from tests.sae.fake_ray import without_ray
from tests.statements.planted_latents import World, build

pytestmark = pytest.mark.slow
TRUE = 0.85
"""Balanced accuracy against the rule itself from which a statement counts as true."""
TELLS = 0.55
"""Balanced accuracy below which a statement tells nothing of a latent."""


class Said:
    """What the stage says of one world."""

    def __init__(self, folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            without_ray(patch)
            patch.setattr(stage, "_recommender", lambda config, inputs: None)
            commit = committing(folder)
            self.world: World = build(folder, commit)
            world = self.world
            done = commit("statements", lambda out: stage.describe_latents(world.config, world.inputs, out))
        self.metrics: dict[str, Any] = done.metrics
        self.scores = done.read_table("statement_scores.parquet").to_pandas()
        self.latents = done.read_table("statements.parquet").to_pandas()
        self.latents["family"] = [latent.family for latent in world.latents]
        self.latents["rule"] = [latent.rule for latent in world.latents]
        kept = world.cases.take(np.flatnonzero(world.kept_B))
        statements = [from_json(text) for text in self.latents.statement]
        holds_BH = holds(statements, world.features, kept)
        truth_BH = np.stack([latent.truth_B for latent in world.latents], axis=1)[world.kept_B]
        self.latents["on_kept"] = _balanced(holds_BH, world.fires_BH[world.kept_B])
        self.latents["on_rule"] = _balanced(holds_BH, truth_BH)


def _balanced(holds_BH: np.ndarray, fires_BH: np.ndarray) -> np.ndarray:
    hit_H = (holds_BH & fires_BH).sum(axis=0) / fires_BH.sum(axis=0)
    right_H = (~holds_BH & ~fires_BH).sum(axis=0) / (~fires_BH).sum(axis=0)
    return np.asarray((hit_H + right_H) / 2)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    found = Said(tmp_path_factory.mktemp("planted"))
    planted = found.latents[found.latents.family != "noise"]
    in_kind = planted.assign(found=planted.accepted & (planted.kind == planted.family)).groupby("family").found
    accepted = found.latents[found.latents.accepted]
    print("\nfound in its kind", in_kind.mean().round(3).to_dict(), "bar", found.metrics["bar"])
    print("accepted of noise", int((accepted.family == "noise").sum()), "of", (found.latents.family == "noise").sum())
    print("true of accepted", ((accepted.on_rule >= TRUE) & (accepted.family != "noise")).mean().round(3))
    print({name: found.metrics[name] for name in ("shuffled", "shuffled_accepted", "null", "null_accepted")})
    apart = accepted.confidence - accepted.on_kept
    print("confidence minus kept", apart.groupby(accepted.family).mean().round(4).to_dict(), apart.abs().max())
    return found


@pytest.mark.parametrize("family", ["formula", "item set", "behaviour"])
def test_what_is_planted_is_found_in_its_kind(said: Said, family: str) -> None:
    of_family = said.latents[said.latents.family == family]
    found = of_family.accepted & (of_family.kind == family)
    assert found.mean() >= 0.95, of_family[~found][["kind", "words", "rule", "confidence"]].to_string()


def test_what_is_accepted_is_true(said: Said) -> None:
    accepted = said.latents[said.latents.accepted]
    true = (accepted.on_rule >= TRUE) & (accepted.family != "noise")
    assert true.mean() >= 0.95, accepted[~true][["kind", "words", "rule", "on_rule"]].to_string()


def test_controls_are_hardly_ever_accepted(said: Said) -> None:
    """A statement may happen to be true of the latent that it is put before; cases kept from everything tell."""
    shuffled, null = (said.scores[said.scores.role == role] for role in ("shuffled", "null"))
    kept = said.world.cases.take(np.flatnonzero(said.world.kept_B))
    before_BP = holds([from_json(text) for text in shuffled.statement], said.world.features, kept)
    on_kept = _balanced(before_BP, said.world.fires_BH[said.world.kept_B][:, shuffled.on_latent.astype(int)])
    print("shuffled that pass", shuffled.passes.sum(), "and tell nothing", (shuffled.passes & (on_kept < TELLS)).sum())
    assert (shuffled.passes & (on_kept < TELLS)).mean() <= 0.01
    assert shuffled.passes[shuffled.latent.isin(said.latents.latent[said.latents.accepted])].mean() <= 0.01
    assert null.passes.mean() <= 0.05


def test_confidence_is_the_share_of_right_answers_on_cases_kept_from_everything(said: Said) -> None:
    accepted = said.latents[said.latents.accepted]
    apart = accepted.confidence - accepted.on_kept
    assert apart.groupby(accepted.family).mean().abs().max() <= 0.03
    assert abs(apart).median() <= 0.03
