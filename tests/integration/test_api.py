"""The public API on a finished line: the config out of the manifests, a policy on the fly, and a label by real vLLM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recsae
from recsae.config.schema import Config
from recsae.pipeline.stages import STAGES
from recsae.store.run_store import Committed
from tests.planted import PLANTED


@pytest.fixture(scope="module")
def run(planted_run: tuple[Config, Path]) -> recsae.Run:
    config, _ = planted_run
    return recsae.open_run(config.store.root, config.name)


def test_the_config_out_of_the_manifests_is_the_one_that_made_the_run(
    run: recsae.Run, planted_run: tuple[Config, Path]
) -> None:
    unknown = {"resources", "nights", "mlflow", "submit"}
    config, toml = planted_run
    assert run.config.model_dump(exclude=unknown) == config.model_dump(exclude=unknown)
    assert recsae.load_config(toml) == config
    pipeline = recsae.Pipeline(run.config)
    for stage in STAGES:
        made, served = pipeline.committed(stage), run.committed(stage)
        assert made is not None and served is not None and made.fingerprint == served.fingerprint


def test_a_named_concept_is_recommended_more(run: recsae.Run) -> None:
    named = run.concepts[run.concepts["interpretable"] & run.concepts["name"].isin(PLANTED)]
    concept = str(named["name"].iloc[0])
    users = [f"user-{number:04d}" for number in range(100)]
    plain, more = run.recommend(users), run.recommend(users, more={concept: 1.5})
    place = PLANTED.index(concept)

    def share(ids: list[str]) -> float:
        return float(np.mean([int(one.removeprefix("item-")) % 8 == place for one in ids]))

    assert share(more["item_id"].tolist()) > 1.1 * share(plain["item_id"].tolist()) > 0
    found = run.explain(users[0], k=3)
    assert found["item_id"].tolist() == plain["item_id"].head(3).tolist()


def test_a_latent_is_labelled_anew_as_the_run_labelled_it_and_nothing_is_written(run: recsae.Run) -> None:
    latent = int(run.concepts.loc[run.concepts["interpretable"], "latent"].iloc[0])
    known, before = run.label(latent), _sizes(run)
    assert not known.made_now and known.candidates["auc"].notna().any()
    unlabelled = {**run.served.made, "labels": _without(run.served.made["labels"])}
    found = recsae.Run(replace(run.served, made=unlabelled), run.config).label(latent)
    assert found.made_now and found.name == known.name
    assert found.candidates.columns.tolist() == known.candidates.columns.tolist()
    for column in ("concept", "source", "finalist", "status", "model", "prompt_version"):
        assert found.candidates[column].tolist() == known.candidates[column].tolist()
    for column in ("pmi", "auc"):  # other batches of the engine, other last digits
        of = [one.candidates[column].astype(float) for one in (found, known)]
        np.testing.assert_allclose(*of, atol=0.15)
    assert _sizes(run) == before


def _without(labels: Committed) -> Committed:
    """As a run has it that did not ask for labels."""
    return Committed(labels.folder, {**labels.manifest, "files": []})


def _sizes(run: recsae.Run) -> dict[str, int]:
    return run.served.store.folder.sizes()
