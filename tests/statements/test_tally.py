"""Tallies of made-up shards against plain loops, and the jackknife by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.statements import evaluation
from recsae.statements.language import Behaviour, Body, ItemList, ItemSet, Range, Statement
from recsae.statements.reading import USER_GROUPS, ShardCases
from recsae.statements.tally import LEVELS, StatementOnLatent, Tally, TallyPlan, tally_cases
from recsae.stats import classification
from tests.statements.made import features, fires, formula, random_shard
from tests.statements.test_counting import LATENTS, N_ITEMS, NULLS, reading_plan

FEATURES = features(
    {"a": [0, 1, 2], "b": [2, 3]},
    N_ITEMS,
    {"year": [1, 2, 3, 4, 5, float("nan")]},
    {"line": np.eye(N_ITEMS, dtype=np.float32)},
)
BODIES: list[Body] = [
    formula("a"),
    formula("a", ("and", True, "b")),
    formula(Range(feature="year", low=2, high=4)),
    ItemSet(space="line", seeds=("i1", "i4"), min_cosine=0.5),
    ItemList(items=("i5", "i0")),
]
STATEMENTS = [
    *(Statement(view=view, body=body) for view in ("recommended", "last") for body in BODIES),
    *(Statement(view="history", body=body, min_share=0.3) for body in BODIES),
    Statement(view="history", body=Behaviour(feature="pace", low=2, high=6)),
]
UNSEEN_I = np.array([False, True, False, False, True, False])


def _pairings() -> list[StatementOnLatent]:
    found = [StatementOnLatent(one, latent) for one in STATEMENTS for latent in range(LATENTS + NULLS)]
    return found + [StatementOnLatent(one, 0, unseen=True) for one in STATEMENTS if one.view != "history"]


def _known(shard: ShardCases, pairing: StatementOnLatent) -> np.ndarray:
    statement = pairing.statement
    if statement.view == "history":
        return np.asarray(shard.cases.history_BL[:, 0] >= 0)
    items = shard.cases.of_view(statement.view).tolist()
    return np.array([item >= 0 and (not pairing.unseen or bool(UNSEEN_I[item])) for item in items])


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_plain_loops(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsae.statements.tally.AT_ONCE", 7)
    monkeypatch.setattr("recsae.statements.tally.CASES_AT_ONCE", 16)
    draw = np.random.default_rng(seed)
    shards = [random_shard(draw, 50, N_ITEMS, LATENTS + NULLS) for _ in range(2)]
    pairings = _pairings()
    plan = TallyPlan(reading_plan(), "score", FEATURES, pairings, UNSEEN_I)
    found = tally_cases(shards[0], plan).plus(tally_cases(shards[1], plan))
    for number, pairing in enumerate(pairings):
        known, fired, held, group = ([], [], [], [])  # type: ignore[var-annotated]
        for shard in shards:
            known.append(_known(shard, pairing))
            fired.append(fires(shard, pairing.latent))
            held.append(evaluation.holds([pairing.statement], FEATURES, shard.cases)[:, 0])
            group.append(shard.group_B)
        known_B, fires_B, holds_B, group_B = (np.concatenate(column) for column in (known, fired, held, group))
        for one in range(USER_GROUPS):
            of_group = known_B & (group_B == one)
            assert found.cases_GP[one, number] == of_group.sum()
            assert found.fires_GP[one, number] == (of_group & fires_B).sum()
            assert found.holds_GP[one, number] == (of_group & holds_B).sum()
            assert found.both_GP[one, number] == (of_group & holds_B & fires_B).sum()
        assert found.counts(number) == classification.count(holds_B[known_B], fires_B[known_B])


def test_levels_part_the_activating_cases_by_strength() -> None:
    shard = random_shard(np.random.default_rng(3), 200, N_ITEMS, LATENTS + NULLS)
    deciles = np.arange(1, LEVELS) / LEVELS
    statement = STATEMENTS[5]
    pairings = [StatementOnLatent(statement, 0), StatementOnLatent(statement, 1)]
    plan = TallyPlan(reading_plan(), "score", FEATURES, pairings, UNSEEN_I, {0: deciles})
    found = tally_cases(shard, plan)
    holds_B = evaluation.holds([statement], FEATURES, shard.cases)[:, 0]
    of_latent = shard.latent_A == 0
    for level in range(LEVELS):
        inside = of_latent & (np.floor(shard.activation_A * LEVELS) == level)
        cases = shard.case_A[inside]
        cases = cases[shard.cases.last_B[cases] >= 0]
        assert found.fires_VP[level, 0] == len(cases) and found.both_VP[level, 0] == holds_B[cases].sum()
    assert not found.fires_VP[:, 1].any()


def _drawn_tally(seed: int, groups: int = USER_GROUPS) -> Tally:
    draw = np.random.default_rng(seed)
    fires = draw.integers(1, 9, (groups, 1))
    others = draw.integers(5, 30, (groups, 1))
    both = draw.binomial(fires, 0.7)
    holds = both + draw.binomial(others, 0.2)
    levels = np.zeros((LEVELS, 1), dtype=np.int64)
    return Tally(fires + others, fires, holds, both, levels, levels)


def test_balanced_accuracy_and_f1_are_those_of_the_counts() -> None:
    found = _drawn_tally(0)
    counts = found.counts(0)
    assert found.balanced_accuracy()[0].tolist() == pytest.approx([counts.confidence])
    assert found.f1().tolist() == pytest.approx([counts.f1])


def test_the_error_is_the_jackknifes() -> None:
    found = _drawn_tally(1)
    left = []
    for group in range(USER_GROUPS):
        kept = np.arange(USER_GROUPS) != group
        cases, fires, holds, both = (int(of_GP[kept, 0].sum()) for of_GP in found[:4])
        left.append((both / fires + 1 - (holds - both) / (cases - fires)) / 2)
    expected = np.sqrt((USER_GROUPS - 1) / USER_GROUPS * np.sum((np.array(left) - np.mean(left)) ** 2))
    assert found.balanced_accuracy()[1].tolist() == pytest.approx([expected])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(300):
        (value,), (error,) = _drawn_tally(seed).balanced_accuracy()
        inside += abs(value - 0.75) < 1.96 * error
    assert 0.91 < inside / 300 < 0.98


def test_what_never_fires_has_no_balanced_accuracy() -> None:
    found = _drawn_tally(0)
    silent = Tally(found.cases_GP, found.fires_GP * 0, found.holds_GP, found.both_GP * 0, *found[4:])
    value_P, error_P = silent.balanced_accuracy()
    assert np.isnan(value_P).all() and np.isnan(error_P).all()
