"""Recommenders by name, saved and loaded as `safetensors` and `config.json`, never as a pickle.

The files of external models are handled by external_files.py.
"""

from __future__ import annotations

from collections.abc import Callable

import safetensors.torch
import torch

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders import external_files
from recsae.recommenders.base import Recommender, Trainable
from recsae.recommenders.factors import BPRMF, LightGCN
from recsae.recommenders.sequential import GPT, SASRec
from recsae.recommenders.timirec import TiMiRec
from recsae.store.filesystem import Folder, as_json
from recsae.store.run_store import Committed

KINDS: dict[str, Callable[[RecommenderConfig, int, int], Trainable]] = {
    "bprmf": BPRMF,
    "lightgcn": LightGCN,
    "sasrec": SASRec,
    "gpt": GPT,
    "timirec": TiMiRec,
}


def build(config: RecommenderConfig, n_users: int, n_items: int, seed: int) -> Trainable:
    """A model with fresh weights, which the seed determines."""
    torch.manual_seed(seed)
    return KINDS[config.kind](config, n_users, n_items)


def save(
    folder: Folder, weights: dict[str, torch.Tensor], config: RecommenderConfig, n_users: int, n_items: int
) -> None:
    with folder.open_output("weights.safetensors") as sink:
        sink.write(safetensors.torch.save(weights))
    with folder.open_output("config.json") as sink:
        sink.write(as_json({"n_users": n_users, "n_items": n_items, **config.recorded()}))


SIZE_KEYS = ("kind", "width", "max_length", "blocks", "heads", "hidden", "layers", "interests")
"""Config keys that determine the shapes of a model; a warm start needs all of them equal."""


def size_mismatch(folder: Folder, config: RecommenderConfig) -> tuple[str, str] | None:
    """The first key of SIZE_KEYS in which the saved model differs from the config, with its saved value, or None."""
    facts, wanted = folder.read_json("config.json") or {}, config.recorded()
    return next(((key, str(facts.get(key))) for key in SIZE_KEYS if facts.get(key) != wanted[key]), None)


def warm_start(model: Trainable, folder: Folder) -> None:
    """Copy the weights of a saved model of the same sizes; users and items added since keep their fresh rows."""
    with folder.open_input("weights.safetensors") as source:
        found = safetensors.torch.load(source.read())
    with torch.no_grad():
        for name, value in model.state_dict().items():
            before = found[name].to(value.device)
            (value[: len(before)] if value.dim() else value).copy_(before)


def load(trained: Committed, site: str = "user", device: str = "cpu") -> Recommender:
    """The frozen model of a committed recommender stage, probed at `site`, in evaluation mode."""
    return load_folder(trained.data.child("model"), site, device)


def load_folder(folder: Folder, site: str = "user", device: str = "cpu") -> Recommender:
    """The frozen model in a folder. Raises BadInput if an external one cannot be probed at `site`."""
    facts = folder.read_json("config.json")
    n_users, n_items = facts.pop("n_users"), facts.pop("n_items")
    config = RecommenderConfig(**facts)
    if config.kind == "foreign":
        return external_files.build_model(config, external_files.load_files(folder, config), site, device)
    with torch.device("meta"):
        model = KINDS[config.kind](config, n_users, n_items)
    with folder.open_input("weights.safetensors") as source:
        model.load_state_dict(safetensors.torch.load(source.read()), assign=True)
    model.site = site
    return model.to(device).eval().requires_grad_(False)
