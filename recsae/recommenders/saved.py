"""Recommenders by name, and their form on disk: `safetensors` and a `config.json`, never a pickle.

It knows which class a name stands for, and nothing of training.
"""

from __future__ import annotations

from collections.abc import Callable

import safetensors.torch
import torch

from recsae.config import RecommenderConfig
from recsae.recommenders.contract import Recommender
from recsae.recommenders.sasrec import SASRec
from recsae.store.folder import Folder, as_json
from recsae.store.runs import Committed

KINDS: dict[str, Callable[[RecommenderConfig, int], Recommender]] = {"sasrec": SASRec}


def build(config: RecommenderConfig, n_items: int, seed: int) -> Recommender:
    """A fresh model; the same seed gives the same weights."""
    torch.manual_seed(seed)
    return KINDS[config.kind](config, n_items)


def save(folder: Folder, weights: dict[str, torch.Tensor], config: RecommenderConfig, n_items: int) -> None:
    with folder.open_output("weights.safetensors") as sink:
        sink.write(safetensors.torch.save(weights))
    with folder.open_output("config.json") as sink:
        sink.write(as_json({"n_items": n_items, **config.model_dump(mode="json")}))


def load(trained: Committed, device: str = "cpu") -> Recommender:
    """The frozen model of a committed recommender stage, in evaluation mode."""
    folder = trained.data.child("model")
    facts = folder.read_json("config.json")
    n_items = facts.pop("n_items")
    model = KINDS[facts["kind"]](RecommenderConfig(**facts), n_items)
    with folder.open_input("weights.safetensors") as source:
        model.load_state_dict(safetensors.torch.load(source.read()))
    return model.to(device).eval().requires_grad_(False)
