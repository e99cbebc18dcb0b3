"""What the average user has, from a sample of explain users: the mean of what is probed, and mean activations.

A latent that fires for everybody is no reason of this user's. Suffixes: see recommenders/base.py; H latents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from recsae.data.chunks import chunk_of, read_chunk
from recsae.recommenders.base import Recommender, last_position
from recsae.sae.model import Sae
from recsae.stats.sampling import draw
from recsae.steering.user_batches import batches
from recsae.store.run_store import Committed

USERS, CHUNKS = 1000, 16
"""Most users of the sample, and most chunks that it is read from; bounds time."""


class Population(NamedTuple):
    """Means over users as they stand today, float64 on the CPU."""

    users: int
    vector_D: np.ndarray
    """The probed vector; at a block over all positions of all histories; at the site `item` the user vector `(U,)`."""
    activation_H: np.ndarray
    """Activations of these vectors; at the site `item` zeros: there latents fire for items."""


@torch.no_grad()
def read_population(ingested: Committed, model: Recommender, sae: Sae, seed: int, device: str = "cpu") -> Population:
    """Means over explain users drawn by the seed."""
    table = ingested.read_table("users.parquet", ["user_idx"], pc.field("part") == "explain")
    drawn = np.array(draw(table["user_idx"].to_numpy(), USERS, seed), dtype=np.int64)
    chunks = chunk_of(ingested, drawn)
    users, vectors = 0, 0
    total_D: Tensor | float = 0.0
    total_H = torch.zeros(sae.num_latents, dtype=torch.float64, device=device)
    for number in draw(np.unique(chunks), CHUNKS, seed):
        for present in batches(read_chunk(ingested, number), drawn[chunks == number], model, device):
            histories = present.histories
            x_BLD = model.probe(histories)
            if model.site == "item":
                x_ND = last_position(model.proceed(x_BLD, histories), histories)
            elif model.site == "user":
                x_ND = last_position(x_BLD, histories)
            else:
                place_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
                x_ND = x_BLD[place_L < histories.length_B[:, None]]
            if model.site != "item":
                index_NK, value_NK = sae.encode(x_ND)
                total_H.index_add_(0, index_NK.long().flatten(), value_NK.double().flatten())
            total_D = total_D + x_ND.double().sum(0)
            users, vectors = users + len(present.user_B), vectors + len(x_ND)
    assert isinstance(total_D, Tensor), "every run has explain users"
    return Population(users, (total_D / vectors).cpu().numpy(), (total_H / vectors).cpu().numpy())
