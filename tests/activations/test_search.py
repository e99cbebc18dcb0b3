"""The index against exact search: what it finds, what it never returns, and its reported recall."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from recsae.activations import search
from recsae.activations.search import Index, refuse_unsupported
from recsae.config.recommender import RecommenderConfig
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.recommenders import registry
from recsae.recommenders.base import Trainable
from recsae.recommenders.topk import first_unseen
from recsae.store.run_store import Committed
from tests.activations.committed import of_kind, probe_config, probed, trained, whole
from tests.conftest import Commit

pytest.importorskip("faiss")


def model_of(item_ND: np.ndarray) -> Trainable:
    n_items, width = item_ND.shape
    model = registry.build(RecommenderConfig(kind="bprmf", width=width, heads=1), 1, n_items, 0)
    with torch.no_grad():
        model.item.weight.copy_(torch.from_numpy(item_ND))
    return model.requires_grad_(False)


def in_clusters(n_items: int, width: int = 32, seed: int = 0) -> tuple[np.ndarray, torch.Tensor]:
    """Item vectors around 60 centres, of unlike lengths, and users between two of these."""
    draw = np.random.default_rng(seed)
    centre = draw.normal(size=(60, width))
    item = centre[draw.integers(0, 60, n_items)] + 0.5 * draw.normal(size=(n_items, width))
    item *= draw.lognormal(0, 0.2, (n_items, 1))
    user = centre[draw.integers(0, 60, 500)] + 0.5 * centre[draw.integers(0, 60, 500)]
    return item.astype(np.float32), torch.from_numpy(user.astype(np.float32))


def test_most_first_items_are_found_and_none_was_seen() -> None:
    item, u_XD = in_clusters(20_000)
    model = model_of(item)
    draw = np.random.default_rng(1)
    best = (u_XD.numpy() @ item.T).argsort(1)[:, ::-1]
    # Some have seen the items that they like most, some others, some nothing.
    seen = [best[x, : x % 60] if x % 3 else draw.integers(0, 20_000, x % 7) for x in range(len(u_XD))]
    found = Index(model, 0).first_unseen(u_XD, seen)
    assert found.dtype == np.int32
    assert not any(top in had for top, had in zip(found, seen, strict=True))
    exact = first_unseen(model, u_XD, seen)
    assert (found == exact).mean() > 0.97
    assert (found == Index(model, 0).first_unseen(u_XD, seen)).all()


def test_where_all_neighbours_were_seen_the_search_is_exact() -> None:
    item, u_XD = in_clusters(3000)
    model, u_XD = model_of(item), u_XD[:20]
    best = (u_XD.numpy() @ item.T).argsort(1)[:, ::-1]
    seen = [best[x, : 500 if x % 2 else 3000] for x in range(20)]
    found = Index(model, 0).first_unseen(u_XD, seen)
    assert found[1::2].tolist() == best[1::2, 500].tolist()
    assert set(found[::2].tolist()) == {-1}


def test_a_small_catalogue_is_one_list() -> None:
    item, u_XD = in_clusters(30)
    model, nothing = model_of(item), [np.empty(0, dtype=np.int32)] * len(u_XD)
    assert (Index(model, 0).first_unseen(u_XD, nothing) == first_unseen(model, u_XD, nothing)).all()


def test_the_prober_tells_its_recall_on_a_sample(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "RECALL_SAMPLE", 100)
    monkeypatch.setattr("recsae.activations.users.RECALL_SAMPLE", 100)
    committed = trained(commit, of_kind(planted_config, "sasrec"), ingested)
    exact, told = probed(commit, ingested, committed, probe_config())
    assert sum(row["checked"] for row in told) == 0
    near, told = probed(commit, ingested, committed, probe_config(search="approximate"))
    checked, agreed = (sum(row[name] for row in told) for name in ("checked", "agreed"))
    assert 100 <= checked < 100 + len(told) and agreed == checked  # 48 items are one list
    assert whole(near)["top_idx"].equals(whole(exact)["top_idx"])
    # What the index misses is counted.
    monkeypatch.setattr(Index, "first_unseen", lambda self, u_XU, seen: np.zeros(len(seen), dtype=np.int32))
    _, told = probed(commit, ingested, committed, probe_config(search="approximate"))
    assert sum(row["agreed"] for row in told) < 0.3 * sum(row["checked"] for row in told)


def test_recall_is_told_of_cases_that_are_searched(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsae.activations.users.RECALL_SAMPLE", 10**6)
    committed = trained(commit, of_kind(planted_config, "sasrec"), ingested)
    near, told = probed(commit, ingested, committed, probe_config(search="approximate", search_fraction=0.2))
    known = whole(near)["top_idx"]
    checked, agreed = (sum(row[name] for row in told) for name in ("checked", "agreed"))
    assert 0 < checked == agreed == len(known) - known.null_count < len(known) / 2


def test_models_without_item_vectors_and_a_missing_library_are_refused(
    planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = planted_config.model_copy(update={"probe": probe_config(search="approximate")})
    refuse_unsupported(asked)
    foreign = asked.model_copy(update={"recommender": of_kind(planted_config, "foreign")})
    with pytest.raises(BadInput, match=r'which recommender\.kind = "foreign" does not promise'):
        refuse_unsupported(foreign)
    refuse_unsupported(foreign.model_copy(update={"probe": probe_config()}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'recsae\[ann\]'"):
        refuse_unsupported(asked)
    refuse_unsupported(planted_config)
