"""The average user: means over explain users as they stand today, one by one by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsae.config.schema import Config
from recsae.data.chunks import n_chunks, read_chunk
from recsae.explain import population as module
from recsae.explain.population import read_population
from recsae.recommenders import registry
from recsae.recommenders.base import last_position
from recsae.steering.user_batches import batches
from recsae.store.run_store import Committed
from tests.activations.committed import of_kind, trained
from tests.conftest import committing
from tests.steering.steered_world import LATENTS, an_sae


@pytest.fixture(scope="module")
def recommender(ingested: Committed, planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Committed:
    commit = committing(tmp_path_factory.mktemp("population"))
    return trained(commit, of_kind(planted_config, "sasrec"), ingested)


@torch.no_grad()
@pytest.mark.parametrize("site", ["user", "item", "block-0"])
def test_means_over_explain_users(site: str, ingested: Committed, recommender: Committed) -> None:
    model, sae = registry.load(recommender, site), an_sae(site)
    table = ingested.read_table("users.parquet", ["user_idx", "part"]).to_pylist()
    explain = np.array([row["user_idx"] for row in table if row["part"] == "explain"])
    vectors, activation_H = [], np.zeros(LATENTS)
    for number in range(n_chunks(ingested)):
        for user in np.intersect1d(explain, read_chunk(ingested, number).users):
            present = next(batches(read_chunk(ingested, number), np.array([user]), model))
            h_BLD = model.probe(present.histories)
            if site == "item":
                x_ND = last_position(model.proceed(h_BLD, present.histories), present.histories)
            else:
                x_ND = h_BLD[0] if site == "block-0" else h_BLD[0, -1:]
                for index_K, value_K in zip(*sae.encode(x_ND), strict=True):
                    np.add.at(activation_H, index_K.numpy(), value_K.double().numpy())
            vectors.append(x_ND.double().numpy())
    found = read_population(ingested, model, sae, 0)
    x_ND = np.concatenate(vectors)
    assert found.users == len(explain) > 20 and (len(x_ND) > len(explain)) == (site == "block-0")
    np.testing.assert_allclose(found.vector_D, x_ND.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.activation_H, activation_H / len(x_ND), atol=1e-5)
    assert found.activation_H.any() == (site != "item")


def test_a_sample_is_drawn_by_the_seed_from_few_chunks(
    ingested: Committed, recommender: Committed, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sae = registry.load(recommender, "user"), an_sae("user")
    monkeypatch.setattr(module, "USERS", 12)
    assert read_population(ingested, model, sae, 0).users == 12
    monkeypatch.setattr(module, "CHUNKS", 1)
    one, again, other = (read_population(ingested, model, sae, seed) for seed in (0, 0, 1))
    assert 0 < one.users < 12
    np.testing.assert_array_equal(one.vector_D, again.vector_D)
    assert (one.vector_D != other.vector_D).any()
