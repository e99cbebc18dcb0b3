"""The whole line on a planted catalogue, through Ray and real vLLM: what it finds, and that it is done once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from recsae.config.schema import Config
from recsae.pipeline.runner import STAGES, Pipeline
from recsae.store.run_store import Committed
from tests.planted import PLANTED

pytestmark = pytest.mark.short
CONCEPTS = set(PLANTED[:8])


def done(config: Config, stage: str) -> Committed:
    committed = Pipeline(config).committed(stage)
    assert committed is not None
    return committed


def dictionary(config: Config) -> pd.DataFrame:
    table = done(config, "concepts").read_table("concepts.parquet")
    return pd.DataFrame(table.to_pylist()).set_index("latent")


def test_most_planted_concepts_are_found_and_believed(planted_run: tuple[Config, Path]) -> None:
    found = dictionary(planted_run[0])
    believed = {term for terms in found[found.interpretable].terms for term in terms}
    assert len(believed & CONCEPTS) >= 0.95 * len(CONCEPTS), found[["name", "confidence", "confidence_lower"]]


def test_an_accepted_concept_is_true(planted_run: tuple[Config, Path]) -> None:
    """95 % at least, as far as so few can tell (binomial, one side, 5 %)."""
    accepted = dictionary(planted_run[0]).query("interpretable")
    right = [not planted_by(row.top_item_ids).isdisjoint(row.terms) for row in accepted.itertuples()]
    assert right and binom.cdf(sum(right), len(right), 0.95) > 0.05, accepted[["name", "top_item_ids"]]


def planted_by(items: list[str]) -> set[str]:
    """The concept of most of the items, or those of equally many."""
    borne = Counter(PLANTED[int(item.removeprefix("item-")) % len(CONCEPTS)] for item in items)
    return {concept for concept, count in borne.items() if count == max(borne.values())}


def test_hardly_a_shuffled_control_is_accepted(planted_run: tuple[Config, Path]) -> None:
    found = dictionary(planted_run[0])
    assert found.confidence_shuffled.mean() < 0.6
    metrics = done(planted_run[0], "concepts").metrics
    assert metrics["shuffled_interpretable"] <= 0.01 * metrics["scored"] < metrics["interpretable"]


def test_a_confidence_is_the_share_of_right_answers_on_unseen_cases(planted_run: tuple[Config, Path]) -> None:
    calibration = done(planted_run[0], "scores").metrics["calibration"]
    assert calibration["error"] <= 0.05, calibration


def test_the_dictionary_holds_every_living_latent(planted_run: tuple[Config, Path]) -> None:
    config = planted_run[0]
    assert len(dictionary(config)) == done(config, "evidence").metrics["alive"] == done(config, "sae").metrics["alive"]


def test_the_recommender_beats_chance_and_the_sae_keeps_it(planted_run: tuple[Config, Path]) -> None:
    config = planted_run[0]
    items = done(config, "ingest").metrics["items"]
    kept = done(config, "sae").metrics["fidelity"]["rows"]
    assert kept["clean"]["hr@10"] > 2 * 10 / items
    assert kept["sae"]["hr@10_kept"] > max(0.7, kept["untrained"]["hr@10_kept"])
    assert kept["sae_with_error"]["top10_overlap"] == 1 and kept["sae_with_error"]["ndcg@10_kept"] == 1
    assert kept["sae"]["fvu"] < min(kept[control]["fvu"] for control in ("pca", "untrained", "raw"))


def test_users_of_the_three_parts_never_mix(planted_run: tuple[Config, Path]) -> None:
    table = pd.DataFrame(done(planted_run[0], "evidence").read_table("evidence.parquet").to_pylist())
    assert (table.groupby("user_idx").part.nunique() == 1).all()


def test_a_finished_run_executes_nothing(planted_run: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    config = planted_run[0]
    current = Pipeline(config).store.current()

    def never(*_: object) -> None:
        raise AssertionError("a committed stage was executed")

    for name, stage in STAGES.items():
        monkeypatch.setitem(STAGES, name, type(stage)(**{**vars(stage), "run": never}))
    pipeline = Pipeline(config)
    for name in STAGES:
        pipeline.run(name)
    assert pipeline.publish() == current


def test_current_names_the_dictionary_and_the_report(planted_run: tuple[Config, Path]) -> None:
    current = Pipeline(planted_run[0]).store.current()
    assert current is not None
    assert pq.read_table(current["dictionary"]).num_rows == len(dictionary(planted_run[0]))
    assert Path(current["report"]).read_text().startswith("<!doctype html>")
