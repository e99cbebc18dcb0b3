"""What latents promote, where the items of a term all score alike."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.statements import effects, formulas
from recsae.statements.candidates import SearchPlan
from recsae.statements.effects import EffectPlan
from recsae.statements.language import Behaviour, Formula, ItemSet, Statement, Term, from_json
from tests.sae.fake_ray import without_ray
from tests.statements import made

ITEMS = 300
KIND_I = np.arange(ITEMS) % 10
"""Ten kinds of equally many items, as many as count as promoted; the first three have a term."""
NAMES = ("War", "Comedy", "Drama")
DRAMA, CROWD, NOISE = 2, 7, 10
"""Latent h promotes kind h; no term tells the crowd, and the noise promotes any items."""


def effect_plan() -> EffectPlan:
    draw = np.random.default_rng(0)
    kinds = np.eye(11, dtype=np.float32)[KIND_I]
    kinds[:, NOISE] = draw.normal(size=ITEMS)
    item_ID = kinds + draw.normal(0, 0.01, kinds.shape).astype(np.float32)
    unit = kinds[:, :10] + draw.normal(0, 0.01, (ITEMS, 10)).astype(np.float32)
    features = made.features(
        {name: np.flatnonzero(kind == KIND_I).tolist() for kind, name in enumerate(NAMES)},
        ITEMS,
        spaces={"co-consumption": unit / np.linalg.norm(unit, axis=1, keepdims=True)},
    )
    chosen = {
        0: Statement(view="last", body=Formula(literal=Term(term="War"))),
        1: Statement(view="last", body=Formula(literal=Term(term="War"))),
        CROWD: Statement(view="history", body=Behaviour(feature="history length", high=5)),
    }
    search = SearchPlan(features, formulas.searchable(features.vocabulary, features.numbers), {})
    W_dec_HD = np.eye(11, dtype=np.float32)
    W_dec_HD[0, DRAMA] = -1  # the first latent holds Drama down
    unseen_I = draw.random(ITEMS) < 0.25
    return EffectPlan(item_ID - item_ID.mean(axis=0), W_dec_HD, search, unseen_I, chosen, {})


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[int, effects.Row]:
    without_ray(monkeypatch)
    return {row["latent"]: row for row in effects.effect_rows(effect_plan(), [0, 1, CROWD, NOISE], 3)}


def test_what_is_promoted_and_held_down_is_named(found: dict[int, effects.Row]) -> None:
    assert (found[0]["promotes"], found[0]["holds_down"]) == ("War", "Drama")
    assert from_json(found[0]["promotes_statement"]).view == "recommended"
    assert found[0]["effect_confidence"] == 1


def test_items_without_a_term_are_a_set(found: dict[int, effects.Row]) -> None:
    body = from_json(found[CROWD]["promotes_statement"]).body
    assert isinstance(body, ItemSet)
    assert {int(seed[1:]) % 10 for seed in body.seeds} == {CROWD}
    assert found[CROWD]["effect_confidence"] == 1


def test_what_has_nothing_in_common_is_told_by_items_kept_from_the_search(found: dict[int, effects.Row]) -> None:
    assert found[NOISE]["effect_confidence"] < 0.7


def test_both_sides_agree_only_where_the_promoted_items_satisfy_the_statement(found: dict[int, effects.Row]) -> None:
    assert [found[latent]["agrees"] for latent in (0, 1, CROWD, NOISE)] == [True, False, None, None]
