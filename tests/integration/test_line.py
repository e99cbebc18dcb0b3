"""The whole line on a planted catalogue, through Ray and real vLLM: what it finds, and that it is done once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from recsae.concepts.best_candidate import read_chosen
from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.pipeline.runner import STAGES, Pipeline
from recsae.store.run_store import Committed
from tests.planted import PLANTED

pytestmark = pytest.mark.short
CONCEPTS = set(PLANTED[:8])
LEAST_SHARE = 0.3
"""An eighth of the items is by chance; a statement may join three concepts."""


def done(config: Config, stage: str) -> Committed:
    committed = Pipeline(config).committed(stage)
    assert committed is not None
    return committed


def dictionary(config: Config) -> pd.DataFrame:
    table = done(config, "concepts").read_table("concepts.parquet")
    return pd.DataFrame(table.to_pylist()).set_index("latent")


def test_most_planted_concepts_are_found_and_believed(planted_run: tuple[Config, Path]) -> None:
    believed = set().union(*spoken_of(planted_run[0]).values())
    assert len(believed & CONCEPTS) >= 0.95 * len(CONCEPTS), dictionary(planted_run[0])[["name", "confidence"]]


def test_an_accepted_concept_is_true(planted_run: tuple[Config, Path]) -> None:
    """95 % at least, as far as so few can tell (binomial, one side, 5 %)."""
    found = dictionary(planted_run[0])
    spoken = spoken_of(planted_run[0])
    right = [not planted_by(found.top_item_ids[latent]).isdisjoint(concepts) for latent, concepts in spoken.items()]
    assert right and binom.cdf(sum(right), len(right), 0.95) > 0.05, found[["name", "top_item_ids"]]


def spoken_of(config: Config) -> dict[int, set[str]]:
    """By accepted latent, the planted concepts that make up at least LEAST_SHARE of the statement's members."""
    made = Pipeline(config).require("the test", "ingest", "evidence", "statements", "labels", "scores")
    catalogue = Catalogue.read(made["ingest"])
    found = {}
    for latent, one in read_chosen(made, catalogue).items():
        if one.interpretable:
            borne = Counter(concept_of(catalogue.ids[item]) for item in one.members)
            found[latent] = {name for name, count in borne.items() if count >= LEAST_SHARE * len(one.members)}
    return found


def concept_of(item_id: str) -> str:
    return PLANTED[int(item_id.removeprefix("item-")) % len(CONCEPTS)]


def planted_by(items: list[str]) -> set[str]:
    """The concept of most of the items, or those of equally many."""
    borne = Counter(map(concept_of, items))
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
