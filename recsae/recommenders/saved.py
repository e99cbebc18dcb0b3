"""Recommenders by name, and their form on disk: `safetensors` and a `config.json`, never a pickle.

It knows which class a name stands for, and nothing of training. Foreign ones are kept by foreign_files.py.
"""

from __future__ import annotations

from collections.abc import Callable

import safetensors.torch
import torch

from recsae.config_recommender import RecommenderConfig
from recsae.recommenders import foreign_files
from recsae.recommenders.contract import Recommender, Trainable
from recsae.recommenders.factors import BPRMF, LightGCN
from recsae.recommenders.sequential import GPT, SASRec
from recsae.recommenders.timirec import TiMiRec
from recsae.store.folder import Folder, as_json
from recsae.store.runs import Committed

KINDS: dict[str, Callable[[RecommenderConfig, int, int], Trainable]] = {
    "bprmf": BPRMF,
    "lightgcn": LightGCN,
    "sasrec": SASRec,
    "gpt": GPT,
    "timirec": TiMiRec,
}


def build(config: RecommenderConfig, n_users: int, n_items: int, seed: int) -> Trainable:
    """A fresh model; the same seed gives the same weights."""
    torch.manual_seed(seed)
    return KINDS[config.kind](config, n_users, n_items)


def save(
    folder: Folder, weights: dict[str, torch.Tensor], config: RecommenderConfig, n_users: int, n_items: int
) -> None:
    with folder.open_output("weights.safetensors") as sink:
        sink.write(safetensors.torch.save(weights))
    with folder.open_output("config.json") as sink:
        sink.write(as_json({"n_users": n_users, "n_items": n_items, **config.model_dump(mode="json")}))


def load(trained: Committed, site: str = "user", device: str = "cpu") -> Recommender:
    """The frozen model of a committed recommender stage, read at `site`, in evaluation mode."""
    return load_folder(trained.data.child("model"), site, device)


def load_folder(folder: Folder, site: str = "user", device: str = "cpu") -> Recommender:
    """The same from the folder of the model. Raises BadInput where a foreign one cannot be read at `site`."""
    facts = folder.read_json("config.json")
    n_users, n_items = facts.pop("n_users"), facts.pop("n_items")
    config = RecommenderConfig(**facts)
    if config.kind == "foreign":
        return foreign_files.assemble(config, foreign_files.saved_parts(folder, config), site, device)
    with torch.device("meta"):
        model = KINDS[config.kind](config, n_users, n_items)
    with folder.open_input("weights.safetensors") as source:
        model.load_state_dict(safetensors.torch.load(source.read()), assign=True)
    model.site = site
    return model.to(device).eval().requires_grad_(False)
