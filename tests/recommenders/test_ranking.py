"""Ranking of cases against a loop in numpy, and edits at every site."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from recsae.config.recommender import RecommenderConfig
from recsae.config.schema import Config
from recsae.data.chunks import Chunk, n_chunks, read_cases, read_chunk
from recsae.recommenders import ranking, registry, topk
from recsae.recommenders.base import Histories, Recommender, Trainable, last_position
from recsae.recommenders.ranking import Edit, compare_chunk, filter_split, pad, rank_chunk, sample_unseen
from recsae.stats.ranking_metrics import count
from recsae.store.run_store import Committed

N_USERS, N_ITEMS = 140, 80
SITES = [
    ("sasrec", "user"),
    ("sasrec", "block-0"),
    ("sasrec", "block-1"),
    ("sasrec", "item"),
    ("gpt", "block-0"),
    ("timirec", "user"),
    ("bprmf", "user"),
    ("bprmf", "item"),
    ("lightgcn", "item"),
]


class LastItem(Recommender):
    """Scores are a table's row for the last item of the history; whole numbers, so that ties abound."""

    def __init__(self, levels: int) -> None:
        super().__init__(N_ITEMS, N_ITEMS, max_length=5)
        draw = torch.Generator().manual_seed(0)
        self.table = torch.randint(0, levels, (N_ITEMS, N_ITEMS), generator=draw).float()
        self.asked: list[int] = []

    def probe(self, histories: Histories) -> Tensor:
        self.asked.append(len(histories.items_BL))
        return torch.nn.functional.one_hot(histories.items_BL, self.width).float()

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        return h_BLD

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU @ self.table[:, start:stop]


def random_chunk(users: int = 40, items: int = N_ITEMS) -> tuple[Chunk, pa.Table]:
    """Users with up to 20 events, some items more than once, and a case at every position that has a target."""
    draw = np.random.default_rng(1)
    histories = [draw.integers(0, items, draw.integers(2, 20)) for _ in range(users)]
    user_idx = np.arange(100, 100 + users, dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(items) for items in histories])])
    events = np.concatenate(histories).astype(np.int32)
    chunk = Chunk(user_idx, offsets, events, np.zeros(len(events), dtype=np.int8))
    rows = [(user, place, items[place]) for user, items in zip(user_idx, histories, strict=True)
            for place in range(1, len(items))]  # fmt: skip
    users_of, position, target = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    case_id = np.random.default_rng(2).integers(0, 2**63, len(rows))
    columns = {"case_id": case_id, "user_idx": users_of, "position": position, "target_idx": target}
    return chunk, pa.table(columns)


def history(chunk: Chunk, case: dict[str, int]) -> np.ndarray:
    start = chunk.offsets[chunk.users.tolist().index(case["user_idx"])]
    return chunk.items[start : start + case["position"]]


def brute_force(model: LastItem, chunk: Chunk, cases: pa.Table) -> list[int]:
    ranks = []
    for case in cases.to_pylist():
        before = history(chunk, case)
        scores = model.table[int(before[-1])].numpy()
        rank = 1
        for item in range(N_ITEMS):
            unseen = item not in before.tolist()
            if item != case["target_idx"] and unseen and scores[item] >= scores[case["target_idx"]]:
                rank += 1
        ranks.append(rank)
    return ranks


@pytest.mark.parametrize("at_once", [4_000_000, 500])
@pytest.mark.parametrize("levels", [4, 100_000])
def test_ranks_equal_brute_force(levels: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "CASES_PER_BATCH", 37)
    monkeypatch.setattr(topk, "SCORES_PER_BLOCK", at_once)
    chunk, cases = random_chunk()
    model = LastItem(levels)
    assert rank_chunk(model, chunk, cases).full_C.tolist() == brute_force(model, chunk, cases)
    assert max(model.asked) == 37


def test_a_target_seen_before_is_ranked_all_the_same() -> None:
    chunk, cases = random_chunk(items=10)
    model = LastItem(100_000)
    seen_before = [case["target_idx"] in history(chunk, case) for case in cases.to_pylist()]
    assert np.mean(seen_before) > 0.3
    assert rank_chunk(model, chunk, cases).full_C.tolist() == brute_force(model, chunk, cases)


def test_what_the_user_does_later_is_not_masked() -> None:
    chunk = Chunk(np.array([7]), np.array([0, 4]), np.array([1, 2, 3, 4], np.int32), np.zeros(4, np.int8))
    cases = pa.table({"user_idx": [7, 7], "position": [1, 3], "target_idx": [3, 4]})
    model = LastItem(4)
    model.table[:] = -torch.arange(N_ITEMS)  # item 0 is the best, then 1, …
    assert rank_chunk(model, chunk, cases).full_C.tolist() == [3, 2]  # behind 0 and 2, which comes later; behind 0


def test_models_with_wide_vectors_are_asked_few_cases_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, cases = random_chunk()
    model = LastItem(4)
    expected = rank_chunk(model, chunk, cases).full_C.tolist()
    monkeypatch.setattr(ranking, "FLOATS_PER_BATCH", 2 * model.max_length * model.out_width + 1)
    model.asked.clear()
    assert rank_chunk(model, chunk, cases).full_C.tolist() == expected
    assert set(model.asked) == {2} or set(model.asked) == {1, 2}


def test_no_cases_give_no_ranks() -> None:
    chunk, cases = random_chunk()
    ranked = rank_chunk(LastItem(4), chunk, cases.slice(0, 0), negatives=3)
    assert len(ranked.full_C) == len(ranked.sampled_C) == 0


def test_sampled_items_depend_on_the_case_and_the_seed_alone() -> None:
    chunk, cases = random_chunk()
    model = LastItem(100_000)
    ranked = rank_chunk(model, chunk, cases, negatives=20, seed=4)
    assert ranked.full_C.tolist() == rank_chunk(model, chunk, cases).full_C.tolist()
    assert ranked.sampled_C.min() == 1 and ranked.sampled_C.max() <= 21 and len(np.unique(ranked.sampled_C)) > 15
    turned = np.random.default_rng(0).permutation(cases.num_rows)[:50]
    again = rank_chunk(model, chunk, cases.take(turned), negatives=20, seed=4)
    assert again.sampled_C.tolist() == ranked.sampled_C[turned].tolist()
    assert rank_chunk(model, chunk, cases, negatives=20, seed=5).sampled_C.tolist() != ranked.sampled_C.tolist()
    renamed = cases.set_column(0, "case_id", pa.array(cases["case_id"].to_numpy()[::-1]))
    assert rank_chunk(model, chunk, renamed, negatives=20, seed=4).sampled_C.tolist() != ranked.sampled_C.tolist()
    share = (ranked.full_C - 1) / (N_ITEMS - 10)
    assert np.corrcoef(share, ranked.sampled_C)[0, 1] > 0.9


def test_drawn_items_are_the_free_ones_evenly() -> None:
    taken = np.array([3, 0, 9, 3, 4])
    drawn = sample_unseen(taken, 12, 80_000, (0,))
    shares = np.bincount(drawn, minlength=12) / 80_000
    assert shares == pytest.approx([0 if item in taken else 1 / 8 for item in range(12)], abs=0.01)
    assert sample_unseen(np.arange(12), 12, 3, (0,)).tolist() == [-1, -1, -1]


def build(kind: str, site: str) -> Trainable:
    config = RecommenderConfig(kind=kind, width=16, heads=2, max_length=6)  # type: ignore[arg-type]
    model = registry.build(config, N_USERS, N_ITEMS, 0)
    draw = np.random.default_rng(0)
    model.set_graph(torch.from_numpy(draw.integers(0, N_USERS, 500)), torch.from_numpy(draw.integers(0, N_ITEMS, 500)))
    model.eval().refresh()
    model.site = site
    return model


@pytest.mark.parametrize(("kind", "site"), SITES)
def test_an_edit_that_changes_nothing_changes_no_rank(kind: str, site: str) -> None:
    chunk, cases = random_chunk()
    model = build(kind, site)
    found = compare_chunk(model, {"same": torch.clone, "turned": torch.neg}, chunk, cases)
    assert found.user_C.tolist() == cases["user_idx"].to_pylist()
    assert found.clean_C.tolist() == found.edited["same"].tolist() == rank_chunk(model, chunk, cases).full_C.tolist()
    assert found.shared["same"].tolist() == found.top10_C.tolist() == [10] * cases.num_rows
    assert found.clean_C.tolist() != found.edited["turned"].tolist()
    assert found.shared["turned"].mean() < 8 and list(found.edited) == list(found.shared) == ["same", "turned"]


@pytest.mark.parametrize(("kind", "site"), [("sasrec", "user"), ("sasrec", "block-0"), ("bprmf", "item")])
def test_several_edits_at_once_are_each_as_alone(kind: str, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, cases = random_chunk(20)
    model = build(kind, site)
    probed = 0
    probe = model.probe

    def counted(histories: Histories) -> Tensor:
        nonlocal probed
        probed += len(histories.length_B)
        return probe(histories)

    monkeypatch.setattr(model, "probe", counted)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(3))).Q
    edits: dict[str, Edit] = {"half": lambda h: h * torch.tensor([1.0, 0.0]).repeat(8), "turn": lambda h: h @ turn}
    together = compare_chunk(model, edits, chunk, cases)
    assert probed == cases.num_rows
    assert together.edited["half"].tolist() != together.edited["turn"].tolist()
    for name, edit in edits.items():
        alone = compare_chunk(model, {name: edit}, chunk, cases)
        assert alone.edited[name].tolist() == together.edited[name].tolist()
        assert alone.shared[name].tolist() == together.shared[name].tolist()
        assert (alone.clean_C == together.clean_C).all() and (alone.top10_C == together.top10_C).all()


@torch.inference_mode()
@pytest.mark.parametrize(("kind", "site"), SITES)
def test_edits_act_at_the_site(kind: str, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case by case, the edit put by hand where the design says: the end of the history, every position, every item."""
    monkeypatch.setattr(ranking, "EDITS_PER_BLOCK", 7)
    chunk, cases = random_chunk(12)
    model = build(kind, site)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(3))).Q
    ranks, shared = [], []

    def edit(h_XD: Tensor) -> Tensor:
        assert h_XD.shape[1] == 16 and len(h_XD) <= 7
        return h_XD @ turn

    for case in cases.to_pylist():
        before = history(chunk, case)
        alone = pad([before[-model.max_length :]], "cpu", np.array([case["user_idx"]]))
        h_BLD = model.probe(alone)
        clean = model.scores(last_position(model.proceed(h_BLD, alone), alone), 0, N_ITEMS)[0]
        if site == "item":
            scores = last_position(h_BLD, alone) @ (model.item_vectors(0, N_ITEMS) @ turn).T
        else:
            scores = model.scores(last_position(model.proceed(h_BLD @ turn, alone), alone), 0, N_ITEMS)
        target = scores[0, case["target_idx"]].clone()
        scores[0, before] = clean[before] = -torch.inf
        shared.append(len(set(scores[0].topk(10).indices.tolist()) & set(clean.topk(10).indices.tolist())))
        scores[0, case["target_idx"]] = -torch.inf
        ranks.append(1 + int((scores >= target).sum()))
    found = compare_chunk(model, {"turn": edit}, chunk, cases)
    assert found.edited["turn"].tolist() == ranks and found.shared["turn"].tolist() == shared


def test_users_who_have_seen_nearly_everything_have_few_first_items() -> None:
    items = np.arange(N_ITEMS, dtype=np.int32)
    chunk = Chunk(np.array([7]), np.array([0, N_ITEMS]), items, np.zeros(N_ITEMS, np.int8))
    cases = pa.table({"user_idx": [7], "position": [N_ITEMS - 3], "target_idx": [N_ITEMS - 3]})
    found = compare_chunk(build("sasrec", "user"), {"same": torch.clone}, chunk, cases)
    assert found.top10_C.tolist() == found.shared["same"].tolist() == [3] and found.clean_C[0] <= 3


@pytest.mark.parametrize("site", ["user", "item"])
def test_no_cases_compare_to_nothing(site: str) -> None:
    chunk, cases = random_chunk()
    found = compare_chunk(build("bprmf", site), {"same": torch.clone}, chunk, cases.slice(0, 0))
    assert len(found.user_C) == len(found.clean_C) == len(found.edited["same"]) == len(found.shared["same"]) == 0


def test_a_split_is_of_the_target(ingested: Committed) -> None:
    for number in range(n_chunks(ingested)):
        cases = read_cases(ingested, number)
        counted = sum(filter_split(cases, split).num_rows for split in ("train", "validation", "test"))
        assert counted == cases.num_rows - cases["target_idx"].null_count
        assert filter_split(cases, "test").num_rows == len(read_chunk(ingested, number).users)
        score = filter_split(cases, "test", "score")
        assert set(score["part"].to_pylist()) <= {"score"} and set(score["split"].to_pylist()) <= {"test"}


def test_the_real_line_of_cases_ranks_every_user_once(ingested: Committed, planted_config: Config) -> None:
    sizes = ingested.metrics["users"], ingested.metrics["items"]
    model = registry.build(planted_config.recommender, *sizes, 0).eval()
    counts = sum(
        count(
            rank_chunk(model, read_chunk(ingested, number), filter_split(read_cases(ingested, number), "test")).full_C
        )
        for number in range(n_chunks(ingested))
    )
    assert isinstance(counts, np.ndarray) and counts.sum() == ingested.metrics["users"]
