"""Training under Ray Train: the number of workers changes nothing, and a killed worker costs nothing but time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.pipeline.runner import Pipeline
from recsae.store.run_store import Committed
from tests.integration.killing import kill_one
from tests.planted import write_planted

EPOCHS = 10


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder, n_users=200, n_concepts=4, items_per_concept=20, events_per_user=(8, 20))
    return folder


def trained(planted: Path, root: Path, workers: int, **recommender: Any) -> Committed:
    sizes = {"width": 16, "blocks": 1, "max_length": 20, "epochs": 2}
    config = Config.model_validate(
        {
            "name": "training",
            "store": {"root": str(root)},
            "data": {
                "interactions": [str(planted / "interactions.parquet")],
                "min_user_events": 1,
                "min_item_events": 1,
            },
            "cases": {"max_per_user": 20},
            "recommender": {**sizes, **recommender},
            "resources": {"train_workers": workers},
        }
    )
    pipeline = Pipeline(config)
    pipeline.run("ingest")
    return pipeline.run("recommender")


def weights(done: Committed) -> bytes:
    return Path(done.data.child("model").locate("weights.safetensors")).read_bytes()


@pytest.mark.parametrize(
    "recommender",
    [
        {"kind": "timirec", "negatives": 16, "sampling": "popularity"},
        {"kind": "bprmf", "loss": "bpr", "negatives": 1, "batch_size": 256},
        {"kind": "lightgcn", "loss": "bpr", "negatives": 1, "batch_size": 256},
    ],
    ids=lambda section: section["kind"],
)
def test_the_number_of_workers_changes_no_bit(
    ray_session: str, planted: Path, tmp_path: Path, recommender: dict[str, Any]
) -> None:
    one, two = (trained(planted, tmp_path / str(workers), workers, **recommender) for workers in (1, 2))
    assert weights(one) == weights(two)
    assert one.metrics["test"] == two.metrics["test"] and one.metrics["test_intervals"] == two.metrics["test_intervals"]


def test_the_planted_line_has_the_same_weights_with_two_workers(
    planted_run: tuple[Config, Path], tmp_path: Path
) -> None:
    one = planted_run[0]
    resources = one.resources.model_copy(update={"train_workers": 2, "probe_actors": 1})
    store = one.store.model_copy(update={"root": str(tmp_path)})
    pipelines = [Pipeline(one), Pipeline(one.model_copy(update={"resources": resources, "store": store}))]
    for stage in ("ingest", "recommender", "activations", "sae"):
        pipelines[1].run(stage)
    for stage, name in (("recommender", "weights.safetensors"), ("sae", "sae.safetensors")):
        first, second = (Path(pipeline.run(stage).data.child("model").locate(name)) for pipeline in pipelines)
        assert first.read_bytes() == second.read_bytes(), stage


def test_a_killed_worker_is_replaced(ray_session: str, planted: Path, tmp_path: Path) -> None:
    """The others begin anew from the newest checkpoint, and end with the weights of an undisturbed run."""
    section = {"kind": "sasrec", "negatives": 16, "batch_size": 16, "epochs": EPOCHS, "patience": EPOCHS}
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_one, tmp_path / "disturbed", "recommender", ended)
        try:
            disturbed = trained(planted, tmp_path / "disturbed", 2, **section)
        finally:
            ended.set()
        killed = killer.result()
    assert killed, "the training ended before a worker could be killed"
    assert 2 <= len(killed.history) < EPOCHS and killed.replaced
    # An epoch's seconds are its own: had the run begun again from the start, others would stand there.
    assert disturbed.metrics["history"][: len(killed.history)] == killed.history
    assert disturbed.metrics["epochs"] == EPOCHS
    undisturbed = trained(planted, tmp_path / "undisturbed", 1, **section)
    assert weights(disturbed) == weights(undisturbed)
    assert disturbed.metrics["test"] == undisturbed.metrics["test"]
