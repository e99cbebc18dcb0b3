"""Ways to hand over an external model: the config section, the site, and the module itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders import external_files
from recsae.recommenders.base import Histories
from recsae.recommenders.external import ExternalRecommender
from recsae.recommenders.external_files import ExternalFiles
from recsae.recommenders.ranking import pad
from tests.recommenders import external_models
from tests.recommenders.external_models import gpt2

N_ITEMS, N_TOKENS, WIDTH, LENGTH = 30, 40, 16, 10
USERS = np.array([3, 5, 9])
MODELS = "tests.recommenders.external_models"
MASKED = {"items": "items", "mask": "mask"}
GPT = {"input_ids": "items", "attention_mask": "mask", "position_ids": "positions"}
TOKENS = torch.from_numpy(np.random.default_rng(5).permutation(np.arange(1, N_TOKENS))[:N_ITEMS])


class Given(NamedTuple):
    """A way to give a model: the section `foreign`, the site, and the module itself for comparison."""

    foreign: dict[str, Any]
    site: str
    module: Callable[[], nn.Module]


def made(name: str, site: str = "first", **foreign: Any) -> Given:
    """A hand-made model by its class."""
    arguments = {"n_tokens": N_TOKENS, "width": WIDTH, **foreign.pop("arguments", {})}
    section = {"factory": f"{MODELS}:{name}", "arguments": arguments, "inputs": MASKED, **foreign}
    return Given(section, site, lambda: getattr(external_models, name)(**arguments))


def hugging_face(site: str, **foreign: Any) -> Given:
    arguments = {"n_tokens": N_TOKENS, "width": WIDTH, "max_length": LENGTH}
    section = {"factory": f"{MODELS}:gpt2", "arguments": arguments, "inputs": GPT, "output": "logits", **foreign}
    return Given(section, site, lambda: gpt2(**arguments))


GIVEN = {
    "right": made("Running"),
    "left": made("Running", padding="left", padding_token=3),
    "left and full": made("Running", padding="left", fixed_length=True),
    "right and full": made("Running", fixed_length=True),
    "in place": made("InPlace", padding="left", fixed_length=True, inputs={"": "items"}),
    "hidden states": made("HiddenStates", "body.second"),
    "tuple": made("Nested", arguments={"kind": "tuple"}, output="scores"),
    "named tuple": made("Nested", arguments={"kind": "named"}, output="scores"),
    "dataclass": made("Nested", arguments={"kind": "held"}),
    "mapping": made("Nested", arguments={"kind": "dict"}, output="scores"),
    "gpt2 block": hugging_face("transformer.h.1"),
    "gpt2 norm": hugging_face("transformer.ln_f", padding="left"),
    "gpt2 body": hugging_face("transformer", padding="left", fixed_length=True),
}
LAST_ONLY = {
    "last": made("Last"),
    "last and left": made("Last", padding="left"),
    "both ways": made("BothWays"),
}


def state_of(module: nn.Module) -> bytes:
    """As `save_model` writes it: of tied tensors one."""
    kept: dict[int, str] = {}
    for name, tensor in module.state_dict().items():
        kept.setdefault(tensor.data_ptr(), name)
    return safetensors.torch.save({name: module.state_dict()[name] for name in kept.values()})


def config_of(foreign: dict[str, Any], max_length: int = LENGTH) -> RecommenderConfig:
    section = {"vocabulary": "v.csv", **({"weights": "w.safetensors"} if "factory" in foreign else {}), **foreign}
    return RecommenderConfig.model_validate({"kind": "foreign", "max_length": max_length, "foreign": section})


def seeded(module: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    return module().eval()


def assembled(given: Given, max_length: int = LENGTH, tokens_N: Tensor = TOKENS) -> ExternalRecommender:
    parts = ExternalFiles(state_of(seeded(given.module)), tokens_N)
    return external_files.build_model(config_of(given.foreign, max_length), parts, given.site, "cpu")


def histories_of(lengths: tuple[int, ...] = (10, 4, 1)) -> Histories:
    draw = np.random.default_rng(0)
    return pad([draw.integers(0, N_ITEMS, length) for length in lengths], "cpu", USERS[: len(lengths)])


def prefix_of(histories: Histories, length: int) -> Histories:
    return pad([histories.items_BL[0, :length].numpy()], "cpu", USERS[:1])
