"""Full ranking against a loop in numpy."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from recsae.data.chunks import Chunk, n_chunks, read_cases, read_chunk
from recsae.recommenders import ranking, saved
from recsae.recommenders.contract import Histories
from recsae.recommenders.ranking import CUTOFFS, DEEPEST, compare_chunk, count_ranks, figures, of_split, rank_chunk
from recsae.store.runs import Committed

N_ITEMS = 80


class LastItem:
    """Scores are a table's row for the last item of the history; whole numbers, so that ties abound."""

    n_items, width, max_length = N_ITEMS, N_ITEMS + 1, 5

    def __init__(self, levels: int) -> None:
        draw = torch.Generator().manual_seed(0)
        self.table = torch.randint(0, levels, (N_ITEMS + 1, N_ITEMS), generator=draw).float()

    def loss(self, histories: Histories, target_BL: Tensor, negative_M: Tensor | None) -> Tensor:
        raise NotImplementedError

    def probe(self, histories: Histories) -> Tensor:
        return torch.nn.functional.one_hot(histories.items_BL, self.width).float()

    def scores(self, h_XD: Tensor) -> Tensor:
        return h_XD @ self.table


def random_chunk(users: int = 40, repeats: bool = True) -> tuple[Chunk, pa.Table]:
    """Users with up to 20 events, some items more than once, and a case at every position that has a target."""
    draw = np.random.default_rng(1)
    histories = [draw.integers(0, N_ITEMS if repeats else 10, draw.integers(2, 20)) for _ in range(users)]
    user_idx = np.arange(100, 100 + users, dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(items) for items in histories])])
    items = np.concatenate(histories).astype(np.int32)
    chunk = Chunk(user_idx, offsets, items, np.zeros(len(items), dtype=np.int8))
    rows = [(user, place, events[place]) for user, events in zip(user_idx, histories, strict=True)
            for place in range(1, len(events))]  # fmt: skip
    users_of, position, target = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    return chunk, pa.table({"user_idx": users_of, "position": position, "target_idx": target})


def brute_force(model: LastItem, chunk: Chunk, cases: pa.Table) -> np.ndarray:
    counts = np.zeros(DEEPEST + 1, dtype=np.int64)
    for case in cases.to_pylist():
        start = chunk.offsets[chunk.users.tolist().index(case["user_idx"])]
        before = chunk.items[start : start + case["position"]]
        scores = model.table[int(before[-1])].numpy()
        rank = 1
        for item in range(N_ITEMS):
            unseen = item not in before.tolist()
            if item != case["target_idx"] and unseen and scores[item] >= scores[case["target_idx"]]:
                rank += 1
        counts[min(rank, DEEPEST + 1) - 1] += 1
    return counts


@pytest.mark.parametrize("levels", [4, 100_000])
def test_ranks_equal_brute_force(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BATCH", 37)
    chunk, cases = random_chunk()
    model = LastItem(levels)
    counts = rank_chunk(model, chunk, cases)
    assert counts.tolist() == brute_force(model, chunk, cases).tolist()
    assert counts.sum() == cases.num_rows and np.count_nonzero(counts) > 10


def test_a_target_seen_before_is_ranked_all_the_same() -> None:
    chunk, cases = random_chunk(repeats=False)
    model = LastItem(100_000)
    counts = rank_chunk(model, chunk, cases)
    assert counts.tolist() == brute_force(model, chunk, cases).tolist()


def test_ties_and_nan_count_against_the_model() -> None:
    nan = float("nan")
    scores = torch.tensor([[1.0, 1, 1, 0], [3, 1, 2, 0], [1, nan, 0, 0], [nan, 0, 0, 0], [nan] * 4])
    counts = count_ranks(scores, torch.tensor([0, 0, 0, 0, 0]))
    assert counts[:4].tolist() == [1, 1, 1, 2]
    assert counts.sum() == 5


def test_figures_are_the_formulas() -> None:
    draw = np.random.default_rng(2)
    ranks = draw.integers(1, 70, 500)
    counts = np.bincount(np.minimum(ranks, DEEPEST + 1), minlength=DEEPEST + 2)[1:]
    found = figures(counts)
    for k in CUTOFFS:
        assert found[f"hr@{k}"] == pytest.approx(np.mean(ranks <= k))
        assert found[f"ndcg@{k}"] == pytest.approx(np.mean([1 / math.log2(1 + r) if r <= k else 0 for r in ranks]))
    assert figures(np.zeros(DEEPEST + 1, dtype=np.int64))["ndcg@10"] == 0


def test_an_edit_that_changes_nothing_changes_no_figure() -> None:
    chunk, cases = random_chunk()
    model = LastItem(100_000)
    same = compare_chunk(model, lambda h: h, chunk, cases)
    assert same.clean.tolist() == same.edited.tolist() == rank_chunk(model, chunk, cases).tolist()
    assert same.shared_top10 == 10 * cases.num_rows
    other = compare_chunk(model, lambda h: -h, chunk, cases)
    assert other.clean.tolist() == same.clean.tolist() != other.edited.tolist()
    assert other.shared_top10 < 5 * cases.num_rows


def test_a_split_is_of_the_target(ingested: Committed) -> None:
    for number in range(n_chunks(ingested)):
        cases = read_cases(ingested, number)
        counted = sum(of_split(cases, split).num_rows for split in ("train", "validation", "test"))
        assert counted == cases.num_rows - cases["target_idx"].null_count
        assert of_split(cases, "test").num_rows == len(read_chunk(ingested, number).users)
        score = of_split(cases, "test", "score")
        assert set(score["part"].to_pylist()) <= {"score"} and set(score["split"].to_pylist()) <= {"test"}


def test_the_real_line_of_cases_ranks_every_user_once(ingested: Committed, planted_config: object) -> None:
    model = saved.build(planted_config.recommender, ingested.metrics["items"], 0).eval()  # type: ignore[attr-defined]
    counts = sum(
        rank_chunk(model, read_chunk(ingested, number), of_split(read_cases(ingested, number), "test"))
        for number in range(n_chunks(ingested))
    )
    assert counts.sum() == ingested.metrics["users"]


def test_no_cases_give_no_counts() -> None:
    chunk, cases = random_chunk()
    assert rank_chunk(LastItem(4), chunk, cases.slice(0, 0)).sum() == 0
