"""SAEs under Ray Train: one or a sweep, the same weights whoever trains them, and the table of what each keeps."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.pipeline.runner import Pipeline
from recsae.sae.model import WEIGHTS
from recsae.sae.stage import train_sae
from recsae.store.run_store import Committed
from tests.conftest import committing
from tests.integration.killing import kill_one
from tests.planted import PLANTED

STEPS = 300
SWEEP = {"kind": ["topk", "batchtopk", "relu"], "num_latents": [8, 24], "seed": [0, 1], "pick": "correlation"}


def trained(
    planted_run: tuple[Config, Path], root: Path, resources: dict[str, Any] | None = None, **sae: Any
) -> Committed:
    """The stage alone, on what the planted run has committed, in a store of its own."""
    tree = planted_run[0].model_dump(exclude_unset=True)
    tree["sae"] |= {"steps": STEPS, "checkpoints": 3, **sae}
    tree["resources"] |= resources or {}
    config = Config.model_validate(tree)
    pipeline = Pipeline(planted_run[0])
    inputs = {name: found for name in ("ingest", "recommender", "activations") if (found := pipeline.committed(name))}
    return committing(root)("sae", lambda out: train_sae(config, inputs, out))


def weights(done: Committed) -> dict[str, bytes]:
    return {name: Path(done.data.locate(name)).read_bytes() for name in done.files() if name.endswith(WEIGHTS)}


def test_the_number_of_workers_changes_no_bit(planted_run: tuple[Config, Path], tmp_path: Path) -> None:
    one, two = (
        trained(planted_run, tmp_path / str(workers), {"train_workers": workers}, kind="batchtopk")
        for workers in (1, 2)
    )
    assert weights(one) == weights(two)
    assert one.metrics == two.metrics


@pytest.fixture(scope="module")
def swept(planted_run: tuple[Config, Path], tmp_path_factory: pytest.TempPathFactory) -> Committed:
    return trained(planted_run, tmp_path_factory.mktemp("swept"), {"train_workers": 2}, sweep=SWEEP)


def test_a_sweep_names_what_each_of_its_saes_keeps(swept: Committed) -> None:
    table = swept.metrics["sweep"]
    assert len(table) == 3 * 2 * 2 and len(swept.files("sweep/")) == 2 * len(table)
    assert sum(row["picked"] for row in table) == 1
    picked = next(row for row in table if row["picked"])
    assert picked["select"]["correlation"] == max(row["select"]["correlation"] for row in table)
    for name in ("kind", "num_latents", "k", "seed"):
        assert swept.metrics[name] == picked[name]
    for row in table:
        assert 0 < row["score"]["fvu"] < 1 and 0 <= row["score"]["dead_share"] < 1
        assert row["score"]["ndcg@10_kept"] > 0 and 0 < row["score"]["correlation"] < 1
        if row["kind"] == "topk":
            assert row["score"]["l0"] <= row["k"]
    folder = swept.data
    assert (
        Path(folder.locate(f"model/{WEIGHTS}")).read_bytes()
        == Path(folder.locate(f"sweep/{table.index(picked)}/{WEIGHTS}")).read_bytes()
    )


def test_an_sae_of_a_sweep_is_the_one_trained_alone(
    planted_run: tuple[Config, Path], tmp_path: Path, swept: Committed
) -> None:
    alone = trained(planted_run, tmp_path, kind="batchtopk", num_latents=8)
    number = next(
        place
        for place, row in enumerate(swept.metrics["sweep"])
        if (row["kind"], row["num_latents"], row["seed"]) == ("batchtopk", 8, 0)
    )
    assert weights(alone)[f"model/{WEIGHTS}"] == weights(swept)[f"sweep/{number}/{WEIGHTS}"]


def test_latents_answer_to_planted_concepts(swept: Committed) -> None:
    """Each concept's best latent beats what raw dimensions and an untrained SAE have."""
    means = swept.metrics["correlation"]
    assert means["sae"] > max(0.5, means["untrained"]) and means["sae"] > means["raw"]
    rows = swept.metrics["attributes"]
    assert {row["value"] for row in rows} <= {*PLANTED} and len({row["latent"] for row in rows}) >= 0.7 * len(rows)


def test_training_begins_with_the_workers_that_there_is_room_for(
    planted_run: tuple[Config, Path], tmp_path: Path
) -> None:
    """Elastic: eight workers are asked for, fewer fit, and the weights are those of one."""
    assert ray.cluster_resources()["CPU"] < 8
    some = trained(planted_run, tmp_path / "some", {"train_workers": 8, "min_train_workers": 1})
    assert weights(some) == weights(trained(planted_run, tmp_path / "one", {"train_workers": 1}))


def test_a_killed_worker_of_a_sweep_is_replaced(planted_run: tuple[Config, Path], tmp_path: Path) -> None:
    sweep = {"num_latents": [16, 24]}
    section: dict[str, Any] = {"steps": 1000, "checkpoints": 20, "batch_size": 512, "sweep": sweep}
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_one, tmp_path / "disturbed", "0", ended)
        try:
            disturbed = trained(planted_run, tmp_path / "disturbed", {"train_workers": 2}, **section)
        finally:
            ended.set()
        killed = killer.result()
    assert killed and killed.replaced, "the training ended before a worker could be killed"
    assert 2 <= len(killed.history) < 20
    undisturbed = trained(planted_run, tmp_path / "undisturbed", {"train_workers": 1}, **section)
    assert weights(disturbed) == weights(undisturbed)
    assert disturbed.metrics["history"] == undisturbed.metrics["history"]


def test_a_training_that_diverges_says_so(planted_run: tuple[Config, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"sae\.learning_rate = 1e\+30: .*diverged; choose a smaller one"):
        trained(planted_run, tmp_path, learning_rate=1e30)
