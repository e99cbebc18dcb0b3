"""More of one concept and less of another, for everybody, a segment or a list of users; and invalid requests."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.errors import BadInput
from recsae.policies.build import PolicyInputs
from recsae.policies.concept_lookup import RequestedConcept
from recsae.policies.concept_shares import ShareTarget, change_shares, items_of
from recsae.policies.policy import Users
from tests.conftest import committing
from tests.policies import biased

pytestmark = pytest.mark.slow
MORE, LESS = ShareTarget("--more", "western", 1.5), ShareTarget("--less", "Comedy", 0.5)


def test_both_targets_are_met_by_the_concepts_own_latents(settings: Config, made: PolicyInputs) -> None:
    found = change_shares(settings, made, [MORE, LESS])
    assert {one.concept for one in found.operations} == {"Western", "Comedy"}
    western, comedy = found.found["select"]
    assert western["met"] and western["after"] >= 1.5 * western["before"] > 0
    assert comedy["met"] and comedy["after"] <= comedy["before"] / 2
    figures = found.found["score"]["figures"]
    assert figures["share of Western"]["change"] > 0.25 and figures["share of Comedy"]["change"] < -0.3
    null = found.found["score"]["null"]
    assert null["share of Western"]["change"] < figures["share of Western"]["change"]


def test_a_segment_and_a_list_define_the_users_measured(settings: Config, made: PolicyInputs) -> None:
    segment = change_shares(settings, made, [MORE], Users(attribute="age", value="old"))
    everybody = change_shares(settings, made, [MORE])
    assert 0 < segment.found["score"]["users"] < everybody.found["score"]["users"]
    assert segment.users == Users(attribute="age", value="old")
    ids = tuple(f"user-{user}" for user in range(40))
    some = change_shares(settings, made, [MORE], Users(ids=ids))
    assert some.found["score"]["users"] == 40


def test_the_loss_stays_within_its_limit_and_a_miss_is_reported(settings: Config, made: PolicyInputs) -> None:
    found = change_shares(settings, made, [ShareTarget("--more", "Horror", 50.0)], max_loss=0.01)
    assert not found.found["select"][0]["met"]
    assert found.found["select"][0]["loss"] <= 0.01
    assert np.isfinite(found.found["select"][0]["after"])


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([ShareTarget("--more", "Westren", 2.0)], "--more Westren: no latent .* the nearest are Western"),
        ([MORE, ShareTarget("--less", "Western", 0.5)], "--less Western: named by two targets"),
    ],
)
def test_invalid_targets_are_refused(
    settings: Config, made: PolicyInputs, targets: list[ShareTarget], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        change_shares(settings, made, targets)


def test_without_a_dictionary_or_with_nobody_it_is_refused(settings: Config, made: PolicyInputs) -> None:
    with pytest.raises(BadInput, match=r"`recsae stage concepts`"):
        change_shares(settings, made._replace(dictionary=None), [MORE])
    with pytest.raises(BadInput, match="no user has age = odl; the nearest are old"):
        change_shares(settings, made, [MORE], Users(attribute="age", value="odl"))


def test_on_the_item_side_activations_are_scaled(
    settings: Config, made: PolicyInputs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    on_items = biased.on_items(committing(tmp_path_factory.mktemp("items")), made)
    found = change_shares(settings, on_items, [MORE, LESS])
    assert all(row["met"] for row in found.found["select"])
    assert {one.operation for one in found.operations} <= {"ablate", "scale"}


def test_a_range_of_a_gloss_is_no_term(made: PolicyInputs) -> None:
    catalogue = Catalogue.read(made.ingested)
    asked = RequestedConcept("1990 to 1996", ["year 1990 to 1996"], [1])
    with pytest.raises(BadInput, match=r"^year 1990 to 1996 is a range or the lack of a term; give a term"):
        items_of(made, [asked], catalogue)
