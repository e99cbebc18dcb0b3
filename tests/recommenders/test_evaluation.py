"""Metrics of a split are the sum over its chunks; samples of users, sampled items and intervals follow the config."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.config.recommender import RankingConfig
from recsae.config.schema import Config
from recsae.data.chunks import n_chunks, read_cases
from recsae.recommenders import registry
from recsae.recommenders.base import Trainable
from recsae.recommenders.evaluation import (
    EvaluationPlan,
    count_chunk,
    evaluate,
    full_plan,
    in_sample,
    quick_plan,
    to_metrics,
)
from recsae.recommenders.ranking import filter_split
from recsae.store.run_store import Committed


@pytest.fixture
def model(ingested: Committed, planted_config: Config) -> Trainable:
    sizes = ingested.metrics["users"], ingested.metrics["items"]
    return registry.build(planted_config.recommender, *sizes, 0).eval()


def test_a_brief_look_is_full_ranking_of_all_users(model: Trainable, ingested: Committed) -> None:
    survey = quick_plan(ingested, "test", 0, RankingConfig(sampled_negatives=5))
    found, nothing = evaluate(model.train(), survey, 0, 1, "cpu")
    assert 0 <= found["hr@5"] <= found["hr@10"] <= found["hr@50"] == 1  # 48 items
    assert nothing == {} and all("sampled" not in name for name in found)
    counts = [count_chunk(model, survey, number, "cpu") for number in range(n_chunks(ingested))]
    assert np.sum(counts) == ingested.metrics["users"]


def test_in_full_there_are_intervals_and_sampled_figures(model: Trainable, ingested: Committed) -> None:
    found, intervals = evaluate(model, full_plan(ingested, "test", 0, RankingConfig(sampled_negatives=5)), 0, 1, "cpu")
    full = evaluate(model, quick_plan(ingested, "test", 0, RankingConfig()), 0, 1, "cpu").metrics
    assert {name: value for name, value in found.items() if not name.startswith("sampled_")} == full
    assert set(found) == {*full, *(f"sampled_{name}" for name in full)}
    assert found["sampled_hr@10"] == 1 > found["hr@10"]  # among six
    assert set(intervals) == set(full)
    low, high = intervals["ndcg@10"]
    assert low < full["ndcg@10"] < high
    assert "sampled_hr@10" not in evaluate(model, full_plan(ingested, "test", 0, RankingConfig()), 0, 1, "cpu").metrics


def test_two_workers_add_up_to_one(model: Trainable, ingested: Committed) -> None:
    survey = full_plan(ingested, "validation", 3, RankingConfig(sampled_negatives=5, users=90))
    alone = evaluate(model, survey, 0, 1, "cpu")
    halves = [
        sum(count_chunk(model, survey, number, "cpu") for number in range(rank, n_chunks(ingested), 2))
        for rank in range(2)
    ]
    assert to_metrics(halves[1] + halves[0], survey) == alone


def test_resamples_follow_the_seed(model: Trainable, ingested: Committed) -> None:
    survey = full_plan(ingested, "test", 0, RankingConfig())
    first, other = (count_chunk(model, survey._replace(seed=seed), 0, "cpu") for seed in (0, 1))
    assert (first[0] == other[0]).all() and (first[2:] != other[2:]).any()
    assert (count_chunk(model, survey, 0, "cpu") == first).all()
    drawn_0, drawn_1 = (count_chunk(model, survey, number, "cpu")[2:].sum(1) for number in (0, 1))
    assert abs(np.corrcoef(drawn_0, drawn_1)[0, 1]) < 0.15  # chunks do not share their draws


def test_fewer_users_are_drawn_by_the_seed(model: Trainable, ingested: Committed) -> None:
    def ranked(users: int | None, seed: int = 0) -> tuple[int, float]:
        survey = EvaluationPlan(ingested, "test", seed, users)
        counts = sum(count_chunk(model, survey, number, "cpu")[0] for number in range(n_chunks(ingested)))
        assert isinstance(counts, np.ndarray)
        return int(counts.sum()), to_metrics(counts[None], survey).metrics["ndcg@50"]

    assert ranked(10_000) == ranked(None)
    some, figure = ranked(60)
    assert 40 < some < 80 and ranked(60) == (some, figure) and ranked(60, seed=1)[1] != figure


def test_the_share_drawn_is_the_share_asked_and_grows() -> None:
    users = np.arange(100_000, dtype=np.int32)
    small, large = in_sample(users, 0.1, 5), in_sample(users, 0.3, 5)
    assert small.mean() == pytest.approx(0.1, abs=0.005) and large.mean() == pytest.approx(0.3, abs=0.005)
    assert large[small].all()
    assert in_sample(users, 0.1, 6)[small].mean() == pytest.approx(0.1, abs=0.02)
    assert (in_sample(users[500:900], 0.1, 5) == small[500:900]).all()
    assert in_sample(users, 1.0, 2**32 - 1).all()


def test_every_case_of_a_drawn_user_is_ranked(model: Trainable, ingested: Committed) -> None:
    cases = filter_split(read_cases(ingested, 0), "train")
    kept = in_sample(cases["user_idx"].to_numpy(), 60 / ingested.metrics["users"], 0)
    assert 0 < kept.sum() < cases.num_rows
    assert count_chunk(model, EvaluationPlan(ingested, "train", 0, 60), 0, "cpu")[0].sum() == kept.sum()
