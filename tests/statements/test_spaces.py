"""Items that the same users have lie close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.data.stage import ingest
from recsae.statements import spaces
from recsae.store.run_store import Committed
from tests.conftest import Commit

COMMUNITIES, PER_COMMUNITY = 4, 12


@pytest.fixture
def ingested(commit: Commit, tmp_path: Path) -> Committed:
    """Users of one community each; one event in ten is of any."""
    draw = np.random.default_rng(0)
    rows = []
    for user in range(200):
        items = draw.permutation(PER_COMMUNITY)[:8] * COMMUNITIES + user % COMMUNITIES
        stray = draw.random(8) < 0.1
        items = np.where(stray, draw.integers(0, COMMUNITIES * PER_COMMUNITY, 8), items)
        rows += [(f"u{user}", f"i{item:02d}", place) for place, item in enumerate(items.tolist())]
    columns = dict(zip(("user_id", "item_id", "timestamp"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    config = Config.model_validate(
        {
            "name": "test",
            "data": {"interactions": [str(tmp_path / "events.parquet")], "min_user_events": 1, "min_item_events": 1},
        }
    )
    return commit("ingest", lambda out: ingest(config, {}, out))


def test_communities_lie_apart(ingested: Committed) -> None:
    catalogue = Catalogue.read(ingested)
    vectors = spaces.co_consumption(ingested, catalogue.n_items, 0)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(catalogue.n_items), abs=1e-5)
    community_I = np.array([int(item_id[1:]) % COMMUNITIES for item_id in catalogue.ids])
    cosine_II = vectors @ vectors.T
    same_II = (community_I[:, None] == community_I[None]) & ~np.eye(catalogue.n_items, dtype=bool)
    other_II = community_I[:, None] != community_I[None]
    assert np.median(cosine_II[same_II]) > 0.3 > 0.1 > np.median(cosine_II[other_II])
    assert np.array_equal(vectors, spaces.co_consumption(ingested, catalogue.n_items, 0))


def test_an_item_that_nobody_has_lies_nowhere(ingested: Committed) -> None:
    n_items = Catalogue.read(ingested).n_items
    vectors = spaces.co_consumption(ingested, n_items + 1, 0)
    assert not np.abs(vectors[-1]).max() > 1e-6
