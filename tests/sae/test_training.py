"""Batches from shards, and the update of one worker on a planted dictionary."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from recsae.config import SaeConfig
from recsae.sae import training
from recsae.sae.model import TopKSae
from recsae.sae.training import _schedule, _step, batches, of_part, select_fvu
from recsae.schemas import PARTS, activations
from recsae.store import shards
from recsae.store.runs import Attempt, Committed, Metrics
from tests.conftest import Commit

WIDTH = 4


def commit_shards(commit: Commit, sizes: tuple[int, ...] = (70, 1, 130, 55), parts: int = 3) -> Committed:
    """Shards whose vectors begin with a running number, so that a row tells which it is."""
    draw = np.random.default_rng(0)
    first = np.cumsum([0, *sizes])

    def write(out: Attempt) -> Metrics:
        for shard, size in enumerate(sizes):
            number = np.arange(first[shard], first[shard] + size)
            vectors = draw.normal(size=(size, WIDTH)).astype(np.float32)
            vectors[:, 0] = number
            columns = dict.fromkeys(("case_id", "user_idx", "position", "item_idx", "top_idx"), number)
            table = pa.table({**columns, "part": number % parts, "activation": shards.column(vectors)})
            shards.write(out.data, f"{shards.PREFIX}{shard}.arrow", table, activations(WIDTH))
        return {}

    return commit("activations", write)


def test_an_epoch_covers_every_activation_of_the_part_and_no_other(
    commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BUFFER", 40)
    stored = commit_shards(commit)
    for part in range(3):
        wanted = {number for number in range(256) if number % 3 == part}
        rows = np.concatenate(list(islice(batches(stored, PARTS[part], 17, 0), 3 * len(wanted) // 17 + 1)))
        told = rows[:, 0].astype(int).tolist()
        for epoch in range(3):
            assert set(told[epoch * len(wanted) : (epoch + 1) * len(wanted)]) == wanted
        assert told[: len(wanted)] != told[len(wanted) : 2 * len(wanted)]


def test_every_batch_is_full_even_if_larger_than_the_stream(commit: Commit) -> None:
    found = list(islice(batches(commit_shards(commit, (5, 4)), "explain", 7, 0), 4))
    assert [len(batch) for batch in found] == [7] * 4
    counts = Counter(np.concatenate(found)[:, 0].astype(int).tolist())
    assert set(counts) == {0, 3, 6} and max(counts.values()) - min(counts.values()) <= 1


def test_batches_are_of_the_seed(commit: Commit) -> None:
    stored = commit_shards(commit)

    def first(seed: int) -> np.ndarray:
        return np.concatenate(list(islice(batches(stored, "explain", 16, seed), 8)))

    assert np.array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def test_vectors_of_a_part_keep_their_order() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    table = pa.table({"part": [0, 1, 0, 2, 1, 0], "activation": shards.column(vectors)})
    assert of_part(table, "explain")[:, 0].tolist() == [0, 4, 10]
    assert of_part(table, "score").tolist() == [[6, 7]]
    assert of_part(table.slice(1, 3), "select").tolist() == [[2, 3]]


def planted(draw: torch.Generator, atoms: torch.Tensor, count: int) -> np.ndarray:
    """Sums of two atoms with weights in [1, 2], and a little noise."""
    x = torch.zeros(count, atoms.shape[1])
    chosen = torch.stack([torch.randperm(len(atoms), generator=draw)[:2] for _ in range(count)])
    weight = 1 + torch.rand(count, 2, generator=draw)
    for place in range(2):
        x += weight[:, place, None] * atoms[chosen[:, place]]
    x += 0.01 * torch.randn(x.shape, generator=draw)
    return x.numpy()


def test_a_planted_dictionary_is_found_again() -> None:
    draw = torch.Generator().manual_seed(0)
    atoms = F.normalize(torch.randn(12, 16, generator=draw), dim=1)
    data = planted(draw, atoms, 3000)
    config = SaeConfig(num_latents=24, k=3, batch_size=256, steps=500, dead_after=2000, learning_rate=1e-2)
    torch.manual_seed(0)
    sae = TopKSae(16, 24, 3)
    sae.mean_D.copy_(torch.from_numpy(data.mean(0)))
    sae.scale.fill_(float(np.sqrt(np.square(data - data.mean(0)).mean())))
    parameters = list(sae.parameters())
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate)
    silent_H = torch.zeros(24, dtype=torch.long)
    pick = np.random.default_rng(0)
    fvu = []
    for step in range(config.steps):
        optimiser.param_groups[0]["lr"] = config.learning_rate * _schedule(step, config.steps)
        batch = data[pick.integers(0, len(data), config.batch_size)]
        fvu.append(_step(sae, parameters, optimiser, batch, silent_H, 8, config, 0, 1, "cpu"))
        assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(24), atol=1e-5)
    assert fvu[-1] < 0.1 < fvu[0]
    nearest = (atoms @ sae.W_dec.detach().T).max(1).values
    assert (nearest > 0.9).sum() >= 9
    assert ((silent_H == 0) | (silent_H % 256 == 0)).all()


def test_silence_is_counted_in_activations() -> None:
    torch.manual_seed(0)
    sae = TopKSae(WIDTH, 6, 1)
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)
        sae.b_enc[2] = 100.0
    config = SaeConfig(num_latents=6, k=1, dead_after=1000)
    silent_H = torch.zeros(6, dtype=torch.long)
    parameters = list(sae.parameters())
    optimiser = torch.optim.SGD(parameters, lr=0.0)
    for _ in range(2):
        _step(sae, parameters, optimiser, np.ones((5, WIDTH), np.float32), silent_H, 2, config, 0, 1, "cpu")
    assert silent_H.tolist() == [10, 10, 0, 10, 10, 10]


def test_a_step_reports_the_fvu_of_a_scaled_stream() -> None:
    """Error per dimension and activation, in units of the stream's variance; fewer rows than lanes change nothing."""
    torch.manual_seed(0)
    for rows in (3, 40):
        x = (5 * torch.randn(rows, WIDTH) + 2).numpy()
        sae = TopKSae(WIDTH, 8, 2)
        sae.mean_D.fill_(2)
        sae.scale.fill_(5)
        parameters = list(sae.parameters())
        error = float((sae.reconstruct(torch.from_numpy(x)).detach().numpy() - x).__pow__(2).mean()) / 25
        config = SaeConfig(num_latents=8, k=2)
        silent_H = torch.zeros(8, dtype=torch.long)
        fvu = _step(sae, parameters, torch.optim.SGD(parameters, lr=0.0), x, silent_H, 2, config, 0, 1, "cpu")
        assert fvu == pytest.approx(error, rel=1e-4)


def test_select_fvu_is_of_select_users(commit: Commit) -> None:
    stored = commit_shards(commit)
    torch.manual_seed(0)
    sae = TopKSae(WIDTH, 8, 2)
    sae.mean_D.fill_(1)
    select = np.concatenate([of_part(table, "select") for table in shards.stream(stored)])
    x = torch.from_numpy(select)
    with torch.no_grad():
        expected = float((sae.reconstruct(x) - x).square().sum() / (x - 1).square().sum())
    assert select_fvu(sae, stored, 0, 1, "cpu") == pytest.approx(expected, rel=1e-5)
    assert select_fvu(sae, commit_shards(commit, (4, 4), parts=1), 0, 1, "cpu") == 0
