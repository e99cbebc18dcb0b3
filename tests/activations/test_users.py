"""Shards of users against the model run on each case's history alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from recsae.activations import users
from recsae.activations.users import one_case_per_user, users_per_batch
from recsae.config.schema import Config
from recsae.data.chunks import Chunk, n_chunks, read_cases
from recsae.recommenders import registry
from recsae.recommenders.base import Histories, Recommender
from recsae.recommenders.ranking import pad
from recsae.schemas.base import PARTS, SPLITS
from recsae.store import shards
from recsae.store.run_store import Committed
from tests.activations.committed import histories, of_kind, probe_config, probed, trained, whole
from tests.conftest import Commit


@torch.inference_mode()
def check_against_loops(table: pa.Table, model: Recommender, ingested: Committed, every: int = 1) -> int:
    """Vectors and top items against the model on the case's history alone; how many histories were longer than it."""
    events, long = histories(ingested), 0
    for row, vector in list(zip(table.to_pylist(), shards.vectors(table), strict=True))[::every]:
        items = events[row["user_idx"]][0]
        # One run over a user numbers the positions from where his whole history begins for the model.
        together = model.sequential and model.every_position
        skipped = max((len(items) if together else row["position"]) - model.max_length, 0)
        long += skipped > 0
        before = np.array(items[: row["position"]])
        alone = pad([before[skipped:]], "cpu", np.array([row["user_idx"]]))
        h_BLD = model.probe(alone)
        np.testing.assert_allclose(vector, h_BLD[0, -1].numpy(), atol=1e-5)
        scores = model.scores(model.proceed(h_BLD, alone)[:, -1], 0, model.n_items)[0].numpy()
        assert row["item_idx"] == before[-1] and row["top_idx"] not in before
        best = max((item for item in range(model.n_items) if item not in before), key=lambda item: scores[item])
        assert scores[row["top_idx"]] >= scores[best] - 1e-5
    return long


@pytest.mark.parametrize(
    ("kind", "site"),
    [("sasrec", "user"), ("sasrec", "block-0"), ("sasrec", "block-1"), ("gpt", "block-0"), ("timirec", "user")],
)
def test_every_case_has_the_vector_of_its_own_history(
    commit: Commit, ingested: Committed, planted_config: Config, kind: str, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "USERS_PER_BATCH", 4)
    committed = trained(commit, of_kind(planted_config, kind), ingested)
    stored, told = probed(commit, ingested, committed, probe_config(site=site))
    table = whole(stored)
    cases = pa.concat_tables([read_cases(ingested, number) for number in range(n_chunks(ingested))])
    assert table.num_rows == cases.num_rows == sum(row["cases"] for row in told)
    for name in ("case_id", "user_idx", "position", "item_idx"):
        assert table[name].to_pylist() == cases[name].to_pylist(), name
    assert [PARTS[part] for part in table["part"].to_pylist()] == cases["part"].to_pylist()
    assert {part: sum(row[part] for row in told) for part in PARTS} == {
        part: cases["part"].to_pylist().count(part) for part in PARTS
    }
    assert table.schema.metadata[b"recsae.site"] == site.encode()
    assert check_against_loops(table, registry.load(committed, site), ingested, every=5) > 20


def test_another_site_has_another_vector_and_the_same_recommendation(
    commit: Commit, ingested: Committed, planted_config: Config
) -> None:
    committed = trained(commit, of_kind(planted_config, "sasrec"), ingested)
    user, block = (
        whole(probed(commit, ingested, committed, probe_config(site=site))[0]) for site in ("user", "block-0")
    )
    assert user["top_idx"].to_pylist() == block["top_idx"].to_pylist()
    assert not np.allclose(shards.vectors(user), shards.vectors(block), atol=0.1)


@pytest.mark.parametrize("kind", ["bprmf", "lightgcn"])
def test_one_case_a_user_where_the_vector_ignores_the_history(
    commit: Commit, ingested: Committed, planted_config: Config, kind: str
) -> None:
    committed = trained(commit, of_kind(planted_config, kind), ingested)
    table = whole(probed(commit, ingested, committed, probe_config())[0])
    events = histories(ingested)
    assert table["user_idx"].to_pylist() == sorted(events)
    for row in table.to_pylist():
        # Leave one out: the last two events were not trained on, so that is where the case stands.
        assert row["position"] == events[row["user_idx"]][1].count(SPLITS.index("train"))
    check_against_loops(table, registry.load(committed), ingested)


class Bag(Recommender):
    """A model of the end of a history alone, as one trained elsewhere may be: the sum of its items' vectors."""

    def __init__(self, n_items: int) -> None:
        super().__init__(n_items, 8, 12)
        self.every_position = False
        self.table = torch.randn(n_items, 8, generator=torch.Generator().manual_seed(0))

    def probe(self, histories: Histories) -> Tensor:
        real_BL = torch.arange(histories.items_BL.shape[1]) < histories.length_B[:, None]
        sum_BD = (self.table[histories.items_BL] * real_BL[..., None]).sum(1)
        return sum_BD[:, None].expand(-1, histories.items_BL.shape[1], -1)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        return h_BLD.tanh()

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU @ self.table[start:stop].T


def test_a_model_of_the_whole_history_sees_nothing_after_the_case(
    commit: Commit, ingested: Committed, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Bag(ingested.metrics["items"])
    monkeypatch.setattr(registry, "load", lambda *_: model)
    monkeypatch.setattr(users, "USERS_PER_BATCH", 7)
    stored, told = probed(commit, ingested, ingested, probe_config(site="layers.0"))
    assert sum(row["cases"] for row in told) == ingested.metrics["cases"]
    assert check_against_loops(whole(stored), model, ingested) > 20


def test_the_case_that_stands_for_a_user() -> None:
    splits = [[0, 0, 1, 2], [1, 2], [0, 0, 0], [0, 0, 0, 1, 1, 2, 2, 2]]
    chunk = Chunk(
        np.array([5, 6, 8, 9], dtype=np.int32),
        np.cumsum([0, *map(len, splits)]),
        np.arange(17, dtype=np.int32),
        np.concatenate(splits).astype(np.int8),
    )
    cases = [(user, position) for user, last in ((5, 4), (6, 2), (8, 3), (9, 8))
             for position in range(max(1, last - 2), last + 1)]  # fmt: skip
    table = pa.table({"user_idx": [user for user, _ in cases], "position": [position for _, position in cases]})
    # The second user was not trained on; of the last one, earlier cases were capped.
    chosen = one_case_per_user(chunk, table)
    assert list(zip(*chosen.to_pydict().values(), strict=True)) == [(5, 2), (8, 3), (9, 6)]


def test_somebody_who_has_had_everything_gives_no_case(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_unseen = users.first_unseen

    def few(model: Any, u_XU: Tensor, seen: list[np.ndarray]) -> np.ndarray:
        return np.where([len(items) < 8 for items in seen], first_unseen(model, u_XU, seen), -1).astype(np.int32)

    monkeypatch.setattr(users, "first_unseen", few)
    table = whole(probed(commit, ingested, trained(commit, planted_config.recommender, ingested), probe_config())[0])
    assert 0 < table.num_rows < ingested.metrics["cases"]
    assert max(table["position"].to_pylist()) == 7


def test_the_item_ranked_first_may_be_sought_for_a_share_of_the_cases(
    commit: Commit, ingested: Committed, planted_config: Config
) -> None:
    committed = trained(commit, planted_config.recommender, ingested)
    every, some = (
        whole(probed(commit, ingested, committed, probe_config(search_fraction=share))[0]) for share in (1.0, 0.3)
    )
    assert some.drop_columns("top_idx").equals(every.drop_columns("top_idx")), "all cases have their vectors"
    known = some["top_idx"].is_valid().to_numpy()
    assert known.mean() == pytest.approx(0.3, abs=0.1)
    assert some["top_idx"].filter(pa.array(known)).equals(every["top_idx"].filter(pa.array(known)))
    # Drawn by case: of most users some are known and some are not.
    of_user = pd.Series(known).groupby(some["user_idx"].to_pandas()).mean()
    assert of_user.between(0.01, 0.99).mean() > 0.8


def test_a_batch_is_bounded_by_its_vectors() -> None:
    model = Bag(10)
    assert users_per_batch(model) == users.USERS_PER_BATCH
    model.max_length, model.out_width = 100, 60_000
    assert users_per_batch(model) == 2
    model.out_width = 10**8
    assert users_per_batch(model) == 1


def test_a_retried_chunk_writes_the_same_files(commit: Commit, ingested: Committed, planted_config: Config) -> None:
    committed = trained(commit, planted_config.recommender, ingested)
    first, again = (probed(commit, ingested, committed, probe_config())[0] for _ in range(2))
    assert first.files() == again.files() and len(first.files()) == n_chunks(ingested)
    for name in first.files():
        with first.data.open_input(name) as one, again.data.open_input(name) as other:
            assert one.read() == other.read()


def test_shards_are_cut_by_size(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "USERS_PER_BATCH", 2)
    committed = trained(commit, planted_config.recommender, ingested)
    stored, told = probed(commit, ingested, committed, probe_config(shard_mib=1 / 256))
    assert all(row["shards"] > 1 for row in told)
    assert len(stored.files(shards.PREFIX)) == sum(row["shards"] for row in told)
    tables = list(shards.stream(stored))
    assert sum(table.num_rows for table in tables) == sum(row["cases"] for row in told)
    # A shard ends with the group of users that fills it: 2 users have 20 cases at most.
    rows = 2**12 // (4 * 16 + 32)
    assert max(table.num_rows for table in tables) < rows + 20
