"""Checkpoints of several models and workers, as far as they need no Ray: reports are played by plain objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recsae.config.schema import ResourcesConfig
from recsae.distributed.training import Checkpoints, _workers, load_optimisers, optimiser_tensors
from tests.distributed.train_reports import Reports, contents

pytestmark = pytest.mark.filterwarnings(
    "ignore:Implicitly cleaning up:ResourceWarning"
)  # a worker ends with its folder


def weights(value: float) -> dict[str, Tensor]:
    return {"W": torch.full((2, 3), value), "b": torch.tensor(value)}


def is_filled(found: dict[str, Tensor], value: float) -> bool:
    return all(torch.equal(tensor, weights(value)[name]) for name, tensor in found.items())


def saved(monkeypatch: pytest.MonkeyPatch, root: Path) -> Reports:
    """Two workers with a model each, and one that has none; the best of "b" was an earlier one."""
    reports = Reports(root)
    for rank, mine in enumerate((["a"], ["b"], [])):
        with reports.worker(monkeypatch, rank, 3):
            kept = Checkpoints(mine)
            for name in ("a", "b"):
                kept.keep_best(name, weights(1.0 if name == "a" else 2.0))
            groups = {name: {"weights": weights(9.0), "progress": {"steps": torch.tensor([5, 0])}} for name in mine}
            kept.save({name: ({"step": 5, "of": name}, held) for name, held in groups.items()})
    return reports


def test_workers_add_their_models_to_one_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = saved(monkeypatch, tmp_path)
    assert reports.steps == 1, "a worker without a model reports all the same, or the others would wait for it"
    files = ("best.safetensors", "progress.safetensors", "state.json", "weights.safetensors")
    assert set(contents(reports.newest)) == {f"{model}/{name}" for model in "ab" for name in files}


@pytest.mark.parametrize("mine", [["a", "b"], ["b"], []])
def test_any_worker_resumes_any_model_and_keeps_the_best_of_its_own(
    mine: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = saved(monkeypatch, tmp_path / "first"), Reports(tmp_path / "later")
    with later.worker(monkeypatch, resume=first.newest):
        kept = Checkpoints(mine)
        found = {}
        for name in ("a", "b"):
            resumed = kept.resume(name)
            assert resumed
            state, groups = resumed
            assert state == {"step": 5, "of": name} and groups.keys() == {"weights", "progress"}
            assert is_filled(groups["weights"], 9.0) and groups["progress"]["steps"].tolist() == [5, 0]
            found[name] = resumed
        kept.save({name: found[name] for name in mine})  # no better weights were met
    wanted = {name: held for name, held in contents(first.newest).items() if name[0] in mine}
    assert (contents(later.newest) if mine else {}) == wanted
    for name in mine:
        best = weights(0.0)
        kept.load_best(name, best)
        assert is_filled(best, 1.0 if name == "a" else 2.0)


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reports(tmp_path).worker(monkeypatch):
        assert Checkpoints(["a"]).resume("a") is None


def test_a_state_may_hold_a_number_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a training diverged before its first measurement the best one is infinite."""
    reports = Reports(tmp_path)
    with reports.worker(monkeypatch):
        kept = Checkpoints(["a"])
        kept.keep_best("a", weights(1.0))
        kept.save({"a": ({"best": float("inf")}, {"weights": weights(float("nan"))})})
    with reports.worker(monkeypatch, resume=reports.newest):
        resumed = Checkpoints(["a"]).resume("a")
    assert resumed and resumed[0] == {"best": float("inf")} and resumed[1]["weights"]["W"].isnan().all()


@pytest.mark.parametrize(
    ("given", "workers"),
    [
        ({"train_workers": 4}, 4),
        ({"train_workers": 4, "min_train_workers": 4}, 4),
        ({"train_workers": 4, "min_train_workers": 1}, (1, 4)),
    ],
)
def test_training_waits_for_all_workers_unless_fewer_will_do(given: dict[str, Any], workers: object) -> None:
    assert _workers(ResourcesConfig.model_validate(given)) == workers


def test_optimisers_go_on_to_the_same_bits() -> None:
    def made() -> tuple[list[Tensor], list[torch.optim.Optimizer]]:
        torch.manual_seed(0)
        table, plain = torch.randn(4, 3, requires_grad=True), torch.randn(5, requires_grad=True)
        return [table, plain], [torch.optim.SparseAdam([table], lr=0.1), torch.optim.Adam([plain], lr=0.1)]

    def step(parameters: list[Tensor], optimisers: list[torch.optim.Optimizer], number: int) -> None:
        rows = torch.tensor([[number % 4, 1]])
        parameters[0].grad = torch.sparse_coo_tensor(
            rows, torch.full((2, 3), float(number + 1)), (4, 3), check_invariants=True
        )
        parameters[1].grad = torch.arange(5.0) * (number - 3)
        for optimiser in optimisers:
            optimiser.step()

    parameters, optimisers = made()
    for number in range(3):
        step(parameters, optimisers, number)
    stored = {name: value.clone() for name, value in optimiser_tensors(optimisers).items()}
    others, later = made()
    for parameter, other in zip(parameters, others, strict=True):
        other.data.copy_(parameter.data)
    load_optimisers(later, stored)
    for number in range(3, 6):
        step(parameters, optimisers, number)
        step(others, later, number)
    assert all(torch.equal(parameter, other) for parameter, other in zip(parameters, others, strict=True))
