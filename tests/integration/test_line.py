"""The whole line on a planted catalogue, through Ray and real vLLM: what it finds, and that it is done once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import ray

from recsae.config import Config
from recsae.pipeline import STAGES, Pipeline
from recsae.store.folder import Folder
from recsae.store.runs import Committed
from tests.planted import PLANTED

CONCEPTS = set(PLANTED[:8])


def done(config: Config, stage: str) -> Committed:
    committed = Pipeline(config).committed(stage)
    assert committed is not None
    return committed


def dictionary(config: Config) -> pd.DataFrame:
    table = done(config, "concepts").read_table("concepts.parquet")
    return pd.DataFrame(table.to_pylist()).set_index("latent")


def in_store(config: Config, root: Path) -> Config:
    return config.model_copy(update={"store": config.store.model_copy(update={"root": str(root)})})


def test_most_planted_concepts_are_found_and_believed(planted_run: tuple[Config, Path]) -> None:
    found = dictionary(planted_run[0])
    believed = set(found[found.interpretable].name)
    assert len(believed & CONCEPTS) >= 0.8 * len(CONCEPTS), found[["name", "confidence", "confidence_lower"]]


def test_an_interpretable_concept_is_borne_by_its_top_items(planted_run: tuple[Config, Path]) -> None:
    found = dictionary(planted_run[0])
    planted = found[found.interpretable & found.name.isin(list(CONCEPTS))]
    right = [
        PLANTED[int(row.top_item_ids[0].removeprefix("item-")) % len(CONCEPTS)] == row.name_
        for row in planted.rename(columns={"name": "name_"}).itertuples()
    ]
    assert sum(right) >= 0.9 * len(right) > 0


def test_the_shuffled_control_stays_near_chance(planted_run: tuple[Config, Path]) -> None:
    found = dictionary(planted_run[0])
    assert abs(found.confidence_shuffled.mean() - 0.5) < 0.1
    metrics = done(planted_run[0], "concepts").metrics
    assert metrics["shuffled_interpretable"] <= 0.1 * metrics["scored"] < metrics["interpretable"]


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


def test_weights_do_not_depend_on_the_number_of_workers(planted_run: tuple[Config, Path], tmp_path: Path) -> None:
    one = planted_run[0]
    resources = one.resources.model_copy(update={"train_workers": 2, "probe_actors": 1})
    two = in_store(one, tmp_path).model_copy(update={"resources": resources})
    pipeline = Pipeline(two)
    for stage in ("ingest", "recommender", "activations", "sae"):
        pipeline.run(stage)
    for stage, weights in (("recommender", "weights.safetensors"), ("sae", "sae.safetensors")):
        first, second = (done(config, stage).data.child("model") for config in (one, two))
        with first.open_input(weights) as a, second.open_input(weights) as b:
            assert a.read() == b.read(), stage


def test_a_driver_killed_while_labelling_goes_on_where_it_was(
    planted_run: tuple[Config, Path], ray_session: str, tmp_path: Path
) -> None:
    config, toml = planted_run
    shutil.copytree(config.store.root, tmp_path / "store")
    ours = in_store(config, tmp_path / "store")
    fingerprint = Pipeline(ours).fingerprint("labels")
    stage = Path(ours.store.root, "planted", "labels", fingerprint)
    kept = Folder(str(stage / "_progress"))
    for later in ("labels", "scores", "concepts", "report"):
        shutil.rmtree(tmp_path / "store" / "planted" / later)
    command = [sys.executable, "-m", "jobs.labels", "--config", str(toml), "--set", f"store.root={ours.store.root}"]
    environment = {**os.environ, "RAY_ADDRESS": ray_session}
    driver = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 180
    while not kept.list("likelihoods"):
        assert driver.poll() is None, "labels ended before it could be killed"
        assert time.monotonic() < deadline, "no answer within 180 s"
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = {name: Path(kept.locate(name)).read_bytes() for name in kept.list("likelihoods")}
    assert before
    assert Pipeline(ours).committed("labels") is None

    subprocess.run(command, env=environment, check=True, timeout=300)
    after = {name: Path(kept.locate(name)).read_bytes() for name in kept.list("likelihoods")}
    assert before.items() <= after.items()
    keys = [key for name in after for key in kept.read_table(name)["key"].to_pylist()]
    assert len(keys) == len(set(keys)), "a question was asked again after its answer had been kept"
    assert len(after) > len(before), "the kill came after the last answer"

    assert ray.is_initialized()
    for later in ("scores", "concepts"):
        Pipeline(ours).run(later)
    undisturbed, resumed = dictionary(config), dictionary(ours)
    assert list(undisturbed.index) == list(resumed.index)
    for column in ("frequency", "activations", "evidence_hash", "top_item_ids"):
        assert undisturbed[column].tolist() == resumed[column].tolist()
    same = undisturbed.name.fillna("") == resumed.name.fillna("")
    assert same.mean() >= 0.98
    assert (undisturbed.confidence - resumed.confidence)[same].abs().max() <= 0.02
