"""The training loop without Ray: plain objects replace its context, the block reader and the reports."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ray
import safetensors.torch
import torch
import torch.distributed as dist

from recsae.config.sae import SaeConfig, SweepMember, candidates
from recsae.distributed.training import _state
from recsae.sae import dataloader
from recsae.sae import train_loop as training
from recsae.sae.dataloader import part_vectors, read_block, shuffled_blocks
from recsae.sae.model import Sae
from recsae.sae.train_loop import BlockReader, _assign, _format_range, _sample_shards, select_fvu, train_loop
from recsae.store import shards
from recsae.store.run_store import Committed
from tests.conftest import Commit
from tests.distributed.train_reports import Reports, contents
from tests.sae.numbered import SIZES, WIDTH, commit_shards, rows_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:Implicitly cleaning up:ResourceWarning"
)  # a worker ends with its folder

ROWS = rows_of(SIZES)


def an_sae(seed: int = 0, kind: Any = "topk") -> Sae:
    torch.manual_seed(seed)
    sae = Sae(WIDTH, 8, kind, 2).requires_grad_(False)
    sae.mean_D.fill_(1)
    return sae


def fvu_of(sae: Sae, stored: Committed, chosen: list[int]) -> float:
    tables = [shards.read(stored.data, stored.files(shards.PREFIX)[shard]) for shard in chosen]
    x_BD = torch.from_numpy(np.concatenate([part_vectors(table, "select") for table in tables]))
    return float((sae.reconstruct(x_BD) - x_BD).square().sum() / (x_BD - 1).square().sum())


def test_select_fvu_is_of_select_users_and_of_each_sae(commit: Commit) -> None:
    stored = commit_shards(commit)
    saes = [an_sae(), an_sae(1, "relu")]
    found = select_fvu(saes, stored, ROWS, 0, 0, 1)
    assert found == pytest.approx([fvu_of(sae, stored, [0, 1, 2, 3]) for sae in saes], rel=1e-5)
    assert found[0] != found[1]
    nobody = commit_shards(commit, (4, 4), parts=1)
    assert select_fvu(saes, nobody, [4, 4], 0, 0, 1) == [0, 0]


@pytest.mark.parametrize("world", [2, 3, 5])
def test_select_fvu_is_the_same_to_the_bit_for_every_number_of_workers(
    world: int, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, saes = commit_shards(commit), [an_sae(), an_sae(1)]
    alone = select_fvu(saes, stored, ROWS, 0, 0, 1)
    parts: list[torch.Tensor] = []
    monkeypatch.setattr(dist, "all_reduce", lambda sums: parts.append(sums.clone()))
    for rank in range(world):
        select_fvu(saes, stored, ROWS, 0, rank, world)
    total = torch.stack(parts).sum(0)
    assert (torch.stack(parts) != 0).any(dim=(2, 3)).sum() == len(SIZES), "each shard is one worker's"
    monkeypatch.setattr(dist, "all_reduce", lambda sums: sums.copy_(total))
    assert [select_fvu(saes, stored, ROWS, 0, rank, world) for rank in range(world)] == [alone] * world


def test_no_more_shards_are_measured_than_needed(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SELECT_ROWS", 100)
    rows_S = [50] * 40
    chosen = _sample_shards(rows_S, 3)
    assert len(chosen) == 4 and chosen == sorted(set(chosen)) == _sample_shards(rows_S, 3) != _sample_shards(rows_S, 4)
    assert _sample_shards([500, 700], 0) in ([0], [1]), "one shard at least"
    assert _sample_shards([0, 0, 7], 0) == [0, 1, 2]
    monkeypatch.setattr(training, "SELECT_ROWS", 20)
    stored = commit_shards(commit)
    some = _sample_shards(ROWS, 0)
    assert 0 < len(some) < len(SIZES)
    assert select_fvu([an_sae()], stored, ROWS, 0, 0, 1) == pytest.approx([fvu_of(an_sae(), stored, some)], rel=1e-5)


def test_several_values_are_told_by_their_span() -> None:
    assert _format_range(iter([0.25]), ".1%") == _format_range([0.25, 0.25], ".1%") == "25.0%"
    assert _format_range([0.5, 0.25, 0.75], ".2f") == "0.25 to 0.75"


@pytest.fixture
def put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace references by their values."""
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value: value)


def a_reader(stored: Committed) -> Any:
    return BlockReader.__ray_metadata__.modified_class(stored, "explain", 0)  # type: ignore[attr-defined]


def test_a_block_is_read_once_for_all_and_the_newest_are_kept(
    commit: Commit, put_in_place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataloader, "BLOCK_FLOATS", 1)
    reader, read = a_reader(commit_shards(commit)), []

    def noted(activations: Committed, block: Any, part: str, seed: int) -> np.ndarray:
        read.append(block)
        return read_block(activations, block, part, seed)

    monkeypatch.setattr(training, "read_block", noted)
    plan = [block for block, _ in zip(shuffled_blocks(ROWS, WIDTH, 0), range(6), strict=False)]
    for place in range(5):
        for _ in range(3):  # workers in step: each has one block and waits for the next
            for block in plan[place : place + 2]:
                (found,) = reader.block(block)
                assert len(found) == block.rows
    assert read == plan and list(reader._cache) == plan[4:]
    reader.block(plan[0])  # a worker that is far behind is served all the same
    assert read == [*plan, plan[0]] and len(reader._cache) <= training.CACHED_BLOCKS


SWEEP = {"kind": ["topk", "batchtopk", "relu"], "seed": [0, 1]}


def task_of(stored: Committed, sweep: dict[str, Any]) -> dict[str, Any]:
    sizes = {"num_latents": 8, "k": 2, "steps": 12, "checkpoints": 4, "batch_size": 32, "dead_after": 64}
    config = SaeConfig.model_validate({**sizes, "sweep": sweep})
    reader = a_reader(stored)
    reader.block = SimpleNamespace(remote=reader.block)
    return {
        "candidates": candidates(config, 0),
        "start": None,
        "seed": 0,
        "width": WIDTH,
        "mean": [127.0, 0.0, 0.0, 0.0],
        "scale": 37.0,
        "rows": ROWS,
        "activations": stored,
        "reader": reader,
        "device": "cpu",
    }


def run(
    task: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch, world: int = 1, resume: Path | None = None
) -> Reports:
    reports = Reports(root)
    for rank in range(world):
        with reports.worker(monkeypatch, rank, world, resume):
            train_loop(task)
    return reports


def files_of(checkpoint: Path, number: int) -> dict[str, bytes]:
    return {name.split("/")[1]: held for name, held in contents(checkpoint).items() if name.startswith(f"{number}/")}


@pytest.mark.parametrize("sweep", [{}, SWEEP])
def test_a_checkpoint_has_a_folder_of_each_sae_with_its_best_weights(
    sweep: dict[str, Any], commit: Commit, put_in_place: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = commit_shards(commit)
    task = task_of(stored, sweep)
    reports = run(task, tmp_path, monkeypatch)
    assert reports.steps == 4
    for number in range(6 if sweep else 1):
        states = [
            safetensors.torch.load_file(tmp_path / str(at) / str(number) / "weights.safetensors") for at in range(1, 5)
        ]
        best = safetensors.torch.load_file(tmp_path / "4" / str(number) / "best.safetensors")
        history = _state(tmp_path / "4" / str(number))
        assert [told["step"] for told in history["history"]] == [3, 6, 9, 12]
        measured = [told["select_fvu"] for told in history["history"]]
        assert history["best"] == min(measured)
        place = history["best_step"] // 3 - 1
        assert measured[place] == min(measured)
        assert all(torch.equal(value, states[place][name]) for name, value in best.items())
        config = task["candidates"][number].config
        sae = Sae(WIDTH, 8, config.kind, 2)
        sae.load_state_dict(best)
        assert select_fvu([sae.requires_grad_(False)], stored, ROWS, 0, 0, 1) == [min(measured)]


@pytest.mark.parametrize("sweep", [{}, SWEEP])
def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(
    sweep: dict[str, Any], commit: Commit, put_in_place: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataloader, "BLOCK_FLOATS", 40 * WIDTH)
    stored = commit_shards(commit)
    whole = run(task_of(stored, sweep), tmp_path / "whole", monkeypatch)
    first = tmp_path / "whole" / "2"
    later = run(task_of(stored, sweep), tmp_path / "later", monkeypatch, resume=first)
    assert later.steps == 2 and contents(later.newest) == contents(whole.newest)
    done = run(task_of(stored, sweep), tmp_path / "done", monkeypatch, resume=whole.newest)
    assert done.steps == 0, "nothing is left to do"


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4, 6])
def test_who_trains_which_sae_of_a_sweep_changes_nothing(
    world: int, commit: Commit, put_in_place: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = commit_shards(commit)
    alone = run(task_of(stored, SWEEP), tmp_path / "alone", monkeypatch)
    shared = run(task_of(stored, SWEEP), tmp_path / "shared", monkeypatch, world)
    assert contents(shared.newest) == contents(alone.newest)
    fewer = run(task_of(stored, SWEEP), tmp_path / "fewer", monkeypatch, world=1, resume=tmp_path / "shared" / "1")
    assert fewer.steps == 3 and contents(fewer.newest) == contents(alone.newest)


def test_one_of_a_sweep_is_the_same_as_by_itself(
    commit: Commit, put_in_place: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = commit_shards(commit)
    among = run(task_of(stored, SWEEP), tmp_path / "among", monkeypatch)
    by_itself = run(task_of(stored, {"kind": ["relu"], "seed": [1]}), tmp_path / "itself", monkeypatch)
    assert files_of(among.newest, 5) == files_of(by_itself.newest, 0)


def test_one_of_a_sweep_may_diverge_and_the_others_go_on(
    commit: Commit, put_in_place: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = commit_shards(commit)
    sweep = {"learning_rate": [1e38, 1e-3]}
    whole = run(task_of(stored, sweep), tmp_path / "whole", monkeypatch)
    by_itself = run(task_of(stored, {"learning_rate": [1e-3]}), tmp_path / "itself", monkeypatch)
    assert files_of(whole.newest, 1) == files_of(by_itself.newest, 0)
    lost, kept = (_state(whole.newest / name) for name in "01")
    assert lost["diverged"] and not lost["history"] and not kept["diverged"] and len(kept["history"]) == 4
    best = safetensors.torch.load_file(whole.newest / "0" / "best.safetensors")
    assert all(value.isfinite().all() for value in best.values())
    later = run(task_of(stored, sweep), tmp_path / "later", monkeypatch, resume=tmp_path / "whole" / "2")
    assert contents(later.newest) == contents(whole.newest)


def test_the_widest_and_densest_saes_are_dealt_out_first() -> None:
    sizes = [(64, 8), (1024, 8), (64, 32), (1024, 32), (512, 8)]
    every = [SweepMember(SaeConfig(num_latents=width, k=k), 0) for width, k in sizes]
    assert _assign(every, 2) == [[3, 4, 0], [1, 2]]
    assert sorted(number for hand in _assign(every, 3) for number in hand) == [0, 1, 2, 3, 4]
