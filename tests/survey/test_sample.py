"""What is drawn: held-out cases, each concept once, decoys that are the controls of the stage `scores`."""

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


def test_cases_are_of_score_users_half_of_them_active_and_no_item_twice(night_config: Config) -> None:
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


def test_a_decoy_is_put_to_cases_of_another_concept_and_a_real_one_to_its_own(night_config: Config) -> None:
    for concept in draw(night_config).concepts:
        assert concept.name == made_night.genre(concept.latent)
        assert (concept.name != made_night.genre(concept.cases_of)) == concept.decoy
        assert (concept.cases_of != concept.latent) == concept.decoy
        bears = [f"genres: {concept.name}" in case.text for case in concept.cases if case.active]
        assert set(bears) == {not concept.decoy}
        assert concept.confidence == (0.5 if concept.decoy else pytest.approx(0.9 - concept.latent / 50))


def test_the_judge_said_what_his_verdicts_say(night_config: Config) -> None:
    key = draw(night_config)
    for concept in key.concepts:
        for case in concept.cases:
            wrong = (concept.name, int(case.item_id[1:])) in made_night.WRONG
            assert case.judge is ((f"genres: {concept.name}" in case.text) != wrong)


def test_the_same_seed_draws_the_same_and_another_another(night_config: Config) -> None:
    assert draw(night_config) == draw(night_config)
    places = {
        tuple(concept.decoy for concept in draw(night_config, ASKED._replace(seed=seed)).concepts) for seed in range(8)
    }
    assert len(places) > 4
    assert draw(night_config, ASKED._replace(seed=1)).survey != draw(night_config).survey


def test_what_cannot_be_drawn_is_told(night_config: Config) -> None:
    with pytest.raises(BadInput, match=r"--concepts 7 and --decoys 3: 7 and 1 can be drawn of 8 different concepts"):
        draw(night_config, ASKED._replace(concepts=7))
    with pytest.raises(BadInput, match="0 and 0 can be drawn of 8 different concepts with 12 cases each"):
        draw(night_config, ASKED._replace(cases=12))
