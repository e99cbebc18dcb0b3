"""Warm start from a model of the same sizes, with room for new users and items."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders import registry
from recsae.store.filesystem import Folder

USERS, ITEMS = 20, 30


def config(kind: str, **given: object) -> RecommenderConfig:
    return RecommenderConfig.model_validate({"kind": kind, "width": 8, "heads": 2, "max_length": 6, **given})


@pytest.mark.parametrize("kind", registry.KINDS)
def test_weights_are_taken_over_and_new_rows_are_their_own(kind: str, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "model"))
    before = registry.build(config(kind), USERS, ITEMS, seed=1)
    registry.save(folder, before.state_dict(), config(kind), USERS, ITEMS)
    assert registry.size_mismatch(folder, config(kind, epochs=3, learning_rate=0.5)) is None
    fresh, after = (registry.build(config(kind), USERS + 4, ITEMS + 5, seed=2) for _ in range(2))
    registry.warm_start(after, folder)
    for name, value in after.state_dict().items():
        known = before.state_dict()[name]
        assert torch.equal(value[: len(known)], known), name
        assert torch.equal(value[len(known) :], fresh.state_dict()[name][len(known) :]), name
    assert len(after.item.weight) == ITEMS + 5


@pytest.mark.parametrize(
    ("change", "key"), [({"width": 16}, "width"), ({"blocks": 3}, "blocks"), ({"hidden": 64}, "hidden")]
)
def test_another_form_is_named(change: dict[str, object], key: str, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "model"))
    model = registry.build(config("sasrec"), USERS, ITEMS, seed=1)
    registry.save(folder, model.state_dict(), config("sasrec"), USERS, ITEMS)
    told = registry.size_mismatch(folder, config("sasrec", **change))
    assert told is not None and told[0] == key
    assert registry.size_mismatch(folder, config("gpt")) == ("kind", "sasrec")
