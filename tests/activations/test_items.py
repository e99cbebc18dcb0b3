"""Every item is a case with its vector, and its part is drawn as for users."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recsae.activations.items import parts
from recsae.config.schema import Config
from recsae.recommenders import registry
from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.run_store import Committed
from tests.activations.committed import SEED, of_kind, probe_config, probed, trained, whole
from tests.conftest import Commit


@pytest.mark.parametrize("kind", ["bprmf", "lightgcn", "sasrec"])
def test_every_item_is_a_case_with_its_own_vector(
    commit: Commit, ingested: Committed, planted_config: Config, kind: str
) -> None:
    committed = trained(commit, of_kind(planted_config, kind), ingested)
    stored, told = probed(commit, ingested, committed, probe_config(site="item"))
    table, n_items = whole(stored), ingested.metrics["items"]
    for name in ("case_id", "user_idx", "item_idx", "top_idx"):
        assert table[name].to_pylist() == list(range(n_items)), name
    assert set(table["position"].to_pylist()) == {0}
    model = registry.load(committed, "item")
    np.testing.assert_array_equal(shards.vectors(table), model.item_vectors(0, n_items))  # type: ignore[operator]
    ids = ingested.read_table("items.parquet", ["item_id"])["item_id"]
    assert [PARTS[part] for part in table["part"].to_pylist()] == parts(ids, SEED).to_pylist()
    assert len(stored.files()) == -(-n_items // 20) == len(told)
    assert sum(row[part] for row in told for part in PARTS) == n_items
    assert {row["width"] for row in told} == {planted_config.recommender.width}


def test_parts_are_drawn_as_those_of_users(ingested: Committed, planted_config: Config) -> None:
    users = ingested.read_table("users.parquet", ["user_id", "part"])
    assert parts(users["user_id"], planted_config.seed).equals(users["part"])


def test_parts_have_their_shares_and_follow_the_seed() -> None:
    ids = pa.chunked_array([[f"item-{number}" for number in range(8000)]])
    one, other = (parts(ids, seed).to_pylist() for seed in (1, 2))
    for part, share in zip(PARTS, (0.5, 0.25, 0.25), strict=True):
        assert one.count(part) / len(one) == pytest.approx(share, abs=0.02)
    assert 0.3 < np.mean([a == b for a, b in zip(one, other, strict=True)]) < 0.45
    assert parts(pa.chunked_array([["ü'; --", "i"]]), 1).to_pylist()[1] in PARTS
