"""A planted bias is found, halved at little loss on held-out users, and reported as measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.policies import policy
from recsae.policies.bias import reduce_bias
from recsae.policies.build import PolicyInputs
from recsae.store.filesystem import Folder
from tests.conftest import committing
from tests.policies import biased

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("attribute", ["group", "popularity"])
def test_the_planted_bias_is_halved_at_little_loss(settings: Config, made: PolicyInputs, attribute: str) -> None:
    found = reduce_bias(settings, made, attribute, 0.5, 0.02)
    on_score = found.found["score"]
    gap, ndcg = on_score["figures"]["gap"], on_score["figures"]["ndcg@10"]
    assert gap["before"] > 0.01 and gap["after"] <= 0.5 * gap["before"]
    assert ndcg["after"] >= 0.98 * ndcg["before"] > 0.1
    assert found.found["met"] == {"select": True, "score": True}
    assert found.found["carriers"]["strongest"][0]["q"] < 0.05
    if attribute == "group":
        assert found.found["carriers"]["strongest"][0]["latent"] == biased.PUSHED
        assert [(one.latent, one.concept) for one in found.operations] == [(biased.PUSHED, "Horror")]
        assert on_score["null"]["gap"]["interval"][0] > gap["change"]
        assert gap["before"] > 2 * on_score["floor"]["before"]
        assert gap["change_interval"][0] <= gap["change"] <= gap["change_interval"][1] < 0


def test_a_policy_of_it_round_trips(settings: Config, made: PolicyInputs, tmp_path: Path) -> None:
    found = reduce_bias(settings, made, "group", 0.5, 0.02)
    policy.write(found, Folder(str(tmp_path)), "p.json")
    again = policy.read("--policy", str(tmp_path / "p.json"))
    assert again == found and again.made_for.sae == made.sae.fingerprint


def test_a_missed_target_is_reported(settings: Config, made: PolicyInputs) -> None:
    found = reduce_bias(settings, made, "age", 0.0, 0.0)
    assert found.found["met"]["select"] is False
    assert found.found["score"]["figures"]["gap"]["after"] > 0


def test_an_unknown_attribute_is_refused(settings: Config, made: PolicyInputs) -> None:
    with pytest.raises(BadInput, match="--balance gruop: users have no attribute gruop; the nearest are group"):
        reduce_bias(settings, made, "gruop", 0.5, 0.02)


def test_on_the_item_side_popularity_is_balanced_and_groups_are_refused(
    settings: Config, made: PolicyInputs, tmp_path: Path
) -> None:
    on_items = biased.on_items(committing(tmp_path), made)
    found = reduce_bias(settings, on_items, "popularity", 0.5, 0.02)
    assert found.made_for.site == "item" and found.found["met"]["select"]
    assert {one.operation for one in found.operations} <= {"ablate", "scale"}
    with pytest.raises(BadInput, match="--balance group: at the site item no latent is active for a user"):
        reduce_bias(settings, on_items, "group", 0.5, 0.02)
