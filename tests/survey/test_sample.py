"""The sample: held-out cases, each concept once, and decoys that are the controls of the stage `scores`."""

from __future__ import annotations

from collections import Counter

import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup.served import served
from recsae.schemas.base import ACTIVE_ROLES, SILENT_ROLES
from recsae.survey.key import Key
from recsae.survey.sample import SurveySize, draw_sample
from tests.lookup import made_night

ASKED = SurveySize(concepts=5, decoys=3, cases=8, seed=0)
EVIDENCE = {
    (row["latent"], row["case_id"], f"i{row['top_idx']:02d}"): row
    for row in made_night.evidence()
    if row["part"] == "score" and row["role"] in ACTIVE_ROLES + SILENT_ROLES
}


def draw(config: Config, asked: SurveySize = ASKED) -> Key:
    return draw_sample(served(config), "shop", asked)


def test_cases_are_of_score_users_half_active_with_distinct_items(night_config: Config) -> None:
    for concept in draw(night_config).concepts:
        assert Counter(case.active for case in concept.cases) == {True: 4, False: 4}
        assert len({case.item_id for case in concept.cases}) == 8
        assert {case.role for case in concept.cases} == {*ACTIVE_ROLES, *SILENT_ROLES}
        for case in concept.cases:
            row = EVIDENCE[concept.cases_of, case.case_id, case.item_id]
            assert (row["role"] in ACTIVE_ROLES) == case.active and row["activation"] == case.activation


def test_every_concept_is_asked_about_once_and_half_of_the_real_ones_are_interpretable(night_config: Config) -> None:
    key = draw(night_config)
    assert Counter(concept.decoy for concept in key.concepts) == {False: 5, True: 3}
    assert len({concept.name for concept in key.concepts}) == 8
    assert sum(concept.interpretable for concept in key.concepts if not concept.decoy) == 3


def test_decoys_have_cases_of_another_concept_and_real_ones_their_own(night_config: Config) -> None:
    for concept in draw(night_config).concepts:
        assert concept.name == made_night.genre(concept.latent)
        assert (concept.name != made_night.genre(concept.cases_of)) == concept.decoy
        assert (concept.cases_of != concept.latent) == concept.decoy
        has_genre = [f"genres: {concept.name}" in case.text for case in concept.cases if case.active]
        assert set(has_genre) == {not concept.decoy}
        assert concept.confidence == (0.5 if concept.decoy else pytest.approx(0.9 - concept.latent / 50))


def test_the_judges_answers_are_its_verdicts(night_config: Config) -> None:
    key = draw(night_config)
    for concept in key.concepts:
        for case in concept.cases:
            wrong = (concept.name, int(case.item_id[1:])) in made_night.WRONG
            assert case.judge is ((f"genres: {concept.name}" in case.text) != wrong)


def test_the_sample_depends_on_the_seed(night_config: Config) -> None:
    assert draw(night_config) == draw(night_config)
    places = {
        tuple(concept.decoy for concept in draw(night_config, ASKED._replace(seed=seed)).concepts) for seed in range(8)
    }
    assert len(places) > 4
    assert draw(night_config, ASKED._replace(seed=1)).survey != draw(night_config).survey


def test_a_sample_that_is_too_large_is_refused(night_config: Config) -> None:
    with pytest.raises(BadInput, match=r"--concepts 7 and --decoys 3: 7 and 1 can be drawn of 8 different concepts"):
        draw(night_config, ASKED._replace(concepts=7))
    with pytest.raises(BadInput, match="0 and 0 can be drawn of 8 different concepts with 12 cases each"):
        draw(night_config, ASKED._replace(cases=12))
