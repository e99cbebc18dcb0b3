"""Small random models, users with histories, and an SAE with a reconstruction error, for tests of explanations."""

from __future__ import annotations

import numpy as np
import torch

from recsae.config.recommender import RecommenderConfig
from recsae.config.sae import Kind
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender
from recsae.recommenders.ranking import pad
from recsae.sae.model import Sae
from recsae.steering.user_batches import Present

USERS, ITEMS, WIDTH, LATENTS = 9, 30, 16, 40


def model_at(kind: str, site: str) -> Recommender:
    sizes = {"width": WIDTH, "heads": 2, "blocks": 2, "max_length": 7}
    model = registry.build(RecommenderConfig.model_validate({"kind": kind, **sizes}), USERS, ITEMS, 0)
    for name, value in model.state_dict().items():
        # Like trained weights: not negligible, and with a non-zero mean over the catalogue.
        value.normal_(0.3 if name.startswith("item") else 0.0, 0.5)
    model.site = site
    return model.eval().requires_grad_(False)


def sae_of(kind: Kind = "topk") -> Sae:
    torch.manual_seed(1)
    sae = Sae(WIDTH, LATENTS, kind, 4)
    sae.mean_D.normal_(0, 0.2)
    sae.scale.fill_(0.7)
    sae.b_enc.data.normal_(std=0.1)
    sae.b_dec.data.normal_(std=0.1)
    return sae.eval().requires_grad_(False)


def users(max_length: int = 7) -> Present:
    """All users, with 2 to 10 events, of which the model sees the latest `max_length`."""
    draw = np.random.default_rng(2)
    seen = [draw.choice(ITEMS, number, replace=False).astype(np.int32) for number in range(2, 2 + USERS)]
    user_B = np.arange(USERS, dtype=np.int32)
    return Present(user_B, pad([items[-max_length:] for items in seen], "cpu", user_B), seen)
