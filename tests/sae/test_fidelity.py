"""Fidelity on the planted data; tasks run in place, without Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from recsae.config.schema import Config
from recsae.data.chunks import n_chunks, read_cases
from recsae.distributed import tasks
from recsae.errors import BadInput
from recsae.sae import fidelity
from recsae.sae.accumulators import Moments
from recsae.sae.controls import Control, Principal, Raw, Trained, Untrained
from recsae.sae.fidelity import FidelityPlan, fit_untrained, measure, measure_chunk, moments, table
from recsae.sae.model import Sae, save
from recsae.stats.ranking_metrics import DEEPEST
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed
from tests.activations.committed import probe_config, probed, trained
from tests.conftest import committing
from tests.sae.fake_ray import FakeRay, without_ray

WIDTH = 16
NOTHING: Mapping[str, Control] = {
    "all": Principal(torch.zeros(WIDTH), torch.eye(WIDTH)),
    "none": Raw(torch.ones(WIDTH), 0),
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = without_ray(monkeypatch)
    monkeypatch.setattr(fidelity, "ray", fake)
    return fake


@pytest.fixture(scope="module")
def plan(ingested: Committed, planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> FidelityPlan:
    """A recommender with random weights, over the planted users."""
    commit = committing(tmp_path_factory.mktemp("fidelity"))
    recommender = trained(commit, planted_config.recommender, ingested)
    written, _ = probed(commit, ingested, recommender, probe_config())
    activations = Committed(written.folder, {**written.manifest, "metrics": {"site": "user"}})
    return FidelityPlan(ingested, recommender, activations, "score", 0, resamples=200)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Folder]:
    """Two untrained SAEs."""
    found = [Folder(str(tmp_path_factory.mktemp("sae"))) for _ in range(2)]
    for seed, folder in enumerate(found):
        torch.manual_seed(seed)
        save(folder, Sae(WIDTH, 64, "topk", 4))
    return found


def test_every_test_case_of_the_part_is_ranked(plan: FidelityPlan) -> None:
    found = [measure_chunk(plan, NOTHING, number) for number in range(n_chunks(plan.ingested))]
    assert sum(one.users for one in found) == plan.ingested.metrics["users_by_part"]["score"]
    total = found[0]
    for one in found[1:]:
        total = total.plus(one)
    clean, same, other = total.sum_SRK[0]
    assert clean.tolist() == same.tolist() and clean[:-1].sum() == sum(one.users for one in found)
    assert other[-1] < 0.6 * clean[-1]


def test_parts_are_apart(plan: FidelityPlan) -> None:
    for part in ("select", "score"):
        cases = [read_cases(plan.ingested, number).to_pandas() for number in range(n_chunks(plan.ingested))]
        expected = sum(int(((of["split"] == "test") & (of["part"] == part)).sum()) for of in cases)
        found = [measure_chunk(plan._replace(part=part), {}, number) for number in range(n_chunks(plan.ingested))]
        assert sum(one.sum_SRK[0].sum() for one in found) == 11 * expected  # each has a rank and ten first items
        assert found[0].sum_SRK.shape == (201, 1, DEEPEST + 2)


def test_so_many_users_of_the_part_are_drawn_by_the_seed(plan: FidelityPlan) -> None:
    def users(number: int | None, seed: int = 0) -> list[int]:
        of = plan._replace(users=number, seed=seed)
        return [measure_chunk(of, {}, number).users for number in range(n_chunks(plan.ingested))]

    of_part = plan.ingested.metrics["users_by_part"]["score"]
    assert users(10_000) == users(of_part) == users(None) and sum(users(None)) == of_part
    half = users(of_part // 2)
    assert 0.25 * of_part < sum(half) < 0.75 * of_part
    assert users(of_part // 2) == half and users(of_part // 2, seed=1) != half


def test_a_part_without_users_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = Moments((0, 0), np.zeros(3), np.zeros((3, 3)))
    monkeypatch.setattr(tasks, "total", lambda *_, **__: nobody)
    with pytest.raises(BadInput, match="explain"):
        moments(Committed(Folder("nowhere"), {"files": []}), "explain")


def test_the_table(plan: FidelityPlan, folders: list[Folder], fake: FakeRay) -> None:
    stream = moments(plan.activations, "explain")
    found = table(plan, fit_untrained(plan.activations, folders[0], 3, 0, "cpu"), stream)
    kept, rows = found["fidelity"], found["fidelity"]["rows"]
    assert list(rows) == ["clean", "sae", "sae_with_error", "pca", "untrained", "raw"]
    of_part = plan.ingested.metrics["users_by_part"]["score"]
    assert (kept["cases"], kept["users"], kept["part"], kept["rank"]) == (of_part, of_part, "score", 3)
    assert found["fvu"] == rows["sae"]["fvu"] and found["l0"] == 4
    assert rows["sae_with_error"]["fvu"] < 1e-10 < rows["pca"]["fvu"] < min(rows["raw"]["fvu"], 1)
    figures = [name for name in rows["clean"] if not name.endswith("_interval")]
    for name in figures:
        assert rows["sae_with_error"][name] == pytest.approx(rows["clean"][name], abs=0.02)
    assert rows["sae_with_error"]["top10_overlap"] > 0.99 > rows["sae"]["top10_overlap"]
    for row in list(rows.values())[1:]:
        assert set(row) == {
            f"{name}{end}"
            for name in ("fvu", "top10_overlap", *figures, *(f"{figure}_kept" for figure in figures))
            for end in ("", "_interval")
        }


def test_an_untrained_sae_is_no_longer_than_it_should_be(
    plan: FidelityPlan, folders: list[Folder], fake: FakeRay
) -> None:
    """Its length is fitted on explain users: any other length reconstructs them worse."""
    control = fit_untrained(plan.activations, folders[0], 30, 0, "cpu")
    x = torch.from_numpy(
        np.concatenate([shards.vectors(of)[of["part"].to_numpy() == 0] for of in shards.stream(plan.activations)])
    )
    errors = [
        float((dataclasses.replace(control, length=control.length * factor).on("cpu")(x) - x).square().sum())
        for factor in (0.8, 1.0, 1.25)
    ]
    assert errors[1] < min(errors[0], errors[2])


def test_fvu_of_the_whole_part(plan: FidelityPlan, fake: FakeRay) -> None:
    """PCA's error is what its axes leave of the part's vectors, whose variance is about their own mean."""
    stream = moments(plan.activations, "explain")
    x = np.concatenate([shards.vectors(of)[of["part"].to_numpy() == 2] for of in shards.stream(plan.activations)])
    axes = np.linalg.eigh(stream.scatter_DD)[1][:, -3:]
    away = x - stream.mean_D
    expected = np.square(away - away @ axes @ axes.T).sum() / np.square(x - x.mean(0)).sum()
    assert len(stream.by_shard) == len(plan.activations.files(shards.PREFIX)) > 1
    control = {"pca": Principal(torch.from_numpy(stream.mean_D).float(), torch.from_numpy(axes.T.copy()).float())}
    found = measure(plan._replace(ranked=False), control)
    assert found.rows["pca"]["fvu"] == pytest.approx(expected, rel=1e-5) and found.cases == len(x)


def test_a_sweep_measures_each_as_if_alone(plan: FidelityPlan, folders: list[Folder], fake: FakeRay) -> None:
    of = plan._replace(part="select", resamples=0, explain=True)
    controls = {str(number): Trained(folder) for number, folder in enumerate(folders)}
    together = measure(of, controls)
    assert list(together.rows) == ["clean", "0", "1"]
    for name, control in controls.items():
        alone = measure(of, {name: control})
        assert alone.rows == {"clean": together.rows["clean"], name: together.rows[name]}
        assert alone.on_explain[name].count_H.tolist() == together.on_explain[name].count_H.tolist()
    assert together.rows["0"]["fvu"] != together.rows["1"]["fvu"]
    assert 0 <= together.on_explain["0"].dead_share < 0.5 and together.active["0"].l0 == 4


def test_without_a_model_there_is_no_ranking(plan: FidelityPlan, folders: list[Folder], fake: FakeRay) -> None:
    given = Committed(Folder("nowhere"), {"metrics": {"kind": "given"}})
    control = Untrained(folders[0], 2, 0)
    without = plan._replace(ingested=given, recommender=given)
    found = table(without, control, moments(plan.activations, "explain"))
    rows = found["fidelity"]["rows"]
    assert list(rows) == ["sae", "sae_with_error", "pca", "untrained", "raw"]
    assert all(list(row) == ["fvu", "fvu_interval"] for row in rows.values())
    assert 0 < found["fidelity"]["users"] < found["fidelity"]["cases"]
