"""The sample: held-out cases, each concept once, and decoys that are the controls of the stage `scores`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup.served import served
from recsae.schemas.base import ACTIVE_ROLES, SILENT_ROLES
from recsae.statements.language import Formula, FreeText, Statement, Term
from recsae.survey.key import Key
from recsae.survey.sample import Drawer, SurveySize, draw_sample
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
        genre = made_night.genre(concept.latent)
        assert concept.name == f"recommends {genre}" and concept.statement_view == "recommended"
        assert (genre != made_night.genre(concept.cases_of)) == concept.decoy
        assert (concept.cases_of != concept.latent) == concept.decoy
        has_genre = [f"genres: {genre}" in case.text for case in concept.cases if case.active]
        assert set(has_genre) == {not concept.decoy}
        assert concept.confidence == (0.5 if concept.decoy else pytest.approx(0.9 - concept.latent / 50))


def test_the_judges_answers_are_whether_the_statement_holds(night_config: Config) -> None:
    key = draw(night_config)
    for concept in key.concepts:
        for case in concept.cases:
            assert case.judge is (f"genres: {made_night.genre(concept.latent)}" in case.text)


def test_a_free_text_is_judged_by_the_language_model(night_config: Config) -> None:
    """The judge was asked about the genre's name, which the free text has here, and is wrong once."""
    night = served(night_config)
    (row,) = [row for row in night.rows("concepts", "concepts.parquet") if row["judge_name"] == "Noir"]
    free = {"statement": Statement(view="recommended", body=FreeText(text="Noir")).to_json(), "words": "Noir"}
    row |= free | {"judge_confidence": 0.7, "judge_lower": 0.6, "judge_upper": 0.8}
    concept = Drawer(night, 3, np.random.default_rng(0)).concept(row, row["latent"])
    assert concept is not None and (concept.confidence, concept.lower, concept.upper) == (0.7, 0.6, 0.8)
    for case in concept.cases:
        wrong = ("Noir", int(case.item_id[1:])) in made_night.WRONG
        assert case.judge is (("genres: Noir" in case.text) != wrong)


def test_a_statement_about_the_history_shows_the_last_ten_items(night_config: Config) -> None:
    night = served(night_config)
    row = night.rows("concepts", "concepts.parquet")[0]
    body = Formula(literal=Term(term="Noir"))
    row |= {"statement": Statement(view="history", body=body, min_share=0.4).to_json(), "words": "Noir"}
    concept = Drawer(night, 3, np.random.default_rng(0)).concept(row, 0)
    assert concept is not None and concept.statement_view == "history"
    assert len({case.case_id for case in concept.cases}) == 6
    for case in concept.cases:
        user = case.case_id // 1000
        before = [(7 * user + 3 * place) % (made_night.N_ITEMS - 1) for place in range(4, -1, -1)]
        assert [int(text.split()[1]) for text in case.text.split(" · ") if text.startswith("Film")] == [
            item for item in before if item
        ]
        assert case.judge is bool(np.mean([made_night.genre(item) == "Noir" for item in before]) >= 0.4)


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
