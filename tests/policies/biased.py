"""A planted bias: one group of users is pushed a concept that they never choose, and the model learns it.

Every user follows one or two of the other concepts. Users of the group `pushed` were given items of PUSHED in the
earlier part of their history; what is held out, in either group, is of what they follow. The recommender is linear:
item vectors are directions of concepts, users' vectors the mixture of their training events, so that the SAE whose
latents are those directions is the true one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recsae.activations.items import ItemProber
from recsae.activations.users import UserProber
from recsae.config.recommender import RecommenderConfig
from recsae.config.schema import Config
from recsae.data.chunks import n_chunks, read_chunk
from recsae.data.stage import ingest
from recsae.policies.build import PolicyInputs
from recsae.policies.concept_lookup import Dictionary
from recsae.recommenders import registry
from recsae.sae import model as saes
from recsae.sae.model import Sae
from recsae.schemas.base import SPLITS
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.activations.committed import probe_config
from tests.concepts.worlds import term
from tests.conftest import Commit, committing

CONCEPTS = ("Horror", "Western", "Musical", "Animation", "Romance", "War", "Comedy", "Crime")
PUSHED = 0
ITEMS = 15
"""Of each concept."""
WIDTH, LATENTS = 12, 10
"""Of the latents the first are the concepts, in order; the last two fire only by noise."""


def config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "name": "biased",
            "data": {
                "interactions": [str(folder / "interactions.parquet")],
                "items": [str(folder / "items.parquet")],
                "users": str(folder / "users.parquet"),
                "attributes": {"genres": ""},
                "user_attributes": {"group": "", "age": ""},
                "min_user_events": 1,
                "min_item_events": 1,
            },
            "cases": {"max_per_user": 10},
            "recommender": {"kind": "bprmf", "width": WIDTH, "heads": 2, "max_length": 20},
            "ranking": {"bootstrap": 200},
        }
    )


def write(folder: Path, n_users: int = 600, seed: int = 0) -> None:
    """`interactions.parquet`, `items.parquet` and `users.parquet`; item i has concept i % 8."""
    draw = np.random.default_rng(seed)
    count = len(CONCEPTS)
    folder.mkdir(parents=True, exist_ok=True)
    items = {
        "item_id": [f"item-{item}" for item in range(count * ITEMS)],
        "title": [f"Film {item}" for item in range(count * ITEMS)],
        "genres": [[CONCEPTS[item % count]] for item in range(count * ITEMS)],
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    users, events = [], []
    for user in range(n_users):
        followed = draw.choice(np.arange(1, count), int(draw.integers(1, 3)), replace=False)
        own = [item for item in draw.permutation(count * ITEMS) if item % count in followed][:12]
        given = [item for item in draw.permutation(count * ITEMS) if item % count == PUSHED][:5]
        history = [*given, *own] if _pushed(user) else own
        users += [user] * len(history)
        events += history
    columns = {
        "user_id": [f"user-{user}" for user in users],
        "item_id": [f"item-{item}" for item in events],
        "timestamp": pa.array(range(len(events)), pa.int64()),
    }
    pq.write_table(pa.table(columns), folder / "interactions.parquet")
    told = {
        "user_id": [f"user-{user}" for user in range(n_users)],
        "group": ["pushed" if _pushed(user) else "left alone" for user in range(n_users)],
        "age": ["young" if user % 3 else "old" for user in range(n_users)],
    }
    pq.write_table(pa.table(told), folder / "users.parquet")


def _pushed(user: int) -> bool:
    return user % 5 < 2


def sae() -> Sae:
    """Latents along the concepts' directions; activations are a user's share of each concept."""
    found = Sae(WIDTH, LATENTS, "topk", 3)
    directions = torch.eye(LATENTS, WIDTH)
    found.W_dec.data.copy_(directions)
    found.W_enc.data.copy_(directions)
    return found.eval().requires_grad_(False)


def line(folder: Path, n_users: int = 600) -> tuple[Config, PolicyInputs, Commit]:
    """Data, config, stages, and how a further stage is committed beside them."""
    write(folder / "data", n_users)
    settings, commit = config(folder / "data"), committing(folder / "store")
    return settings, made(commit, settings), commit


def made(commit: Commit, settings: Config) -> PolicyInputs:
    """All stages that policies read, the recommender and the SAE without training."""
    ingested = commit("ingest", lambda out: ingest(settings, {}, out))
    recommender = commit("recommender", lambda out: _model(out, settings.recommender, ingested))
    trained = commit("sae", lambda out: _save(out))
    activations = commit("activations", lambda out: _probe(out, ingested, recommender))
    rows = [
        {
            "latent": latent,
            "name": name,
            "terms": [name],
            "statement": term(name).to_json(),
            "gloss": None,
            "interpretable": True,
            "confidence": 0.9,
        }
        for latent, name in enumerate(CONCEPTS)
    ]
    return PolicyInputs(ingested, recommender, activations, trained, Dictionary(rows))


def _model(out: Attempt, config: RecommenderConfig, ingested: Committed) -> Metrics:
    n_users, n_items = int(ingested.metrics["users"]), int(ingested.metrics["items"])
    model = registry.build(config, n_users, n_items, 0)
    genres = ingested.read_table("items.parquet", ["attributes"])["attributes"].to_pylist()
    concept_I = np.array([CONCEPTS.index(pairs[0]["value"]) for pairs in genres])
    draw = torch.Generator().manual_seed(0)
    weights = {
        "item.weight": torch.eye(WIDTH)[concept_I] + 0.05 * torch.randn(n_items, WIDTH, generator=draw),
        "user.weight": 0.02 * torch.randn(n_users, WIDTH, generator=draw),
    }
    for number in range(n_chunks(ingested)):
        chunk = read_chunk(ingested, number)
        owner = np.repeat(chunk.users, np.diff(chunk.offsets))
        training = chunk.splits == SPLITS.index("train")
        events = torch.from_numpy(np.bincount(owner[training], minlength=n_users)).clamp(min=1)
        for user, item in zip(owner[training].tolist(), chunk.items[training].tolist(), strict=True):
            weights["user.weight"][user, concept_I[item]] += 1 / events[user]
    assert set(weights) == set(model.state_dict())
    registry.save(out.data.child("model"), weights, config, n_users, n_items)
    return {"kind": "bprmf"}


def _save(out: Attempt) -> Metrics:
    saes.save(out.data.child("model"), sae())
    return {}


def _probe(out: Attempt, ingested: Committed, recommender: Committed) -> Metrics:
    prober = UserProber(ingested, recommender, out.data, probe_config(), "cpu", 0)
    for number in range(n_chunks(ingested)):
        prober({"chunk": number})
    return {"site": "user", "width": WIDTH}


def on_items(commit: Commit, made: PolicyInputs) -> PolicyInputs:
    """The same with the items' vectors probed."""

    def write(out: Attempt) -> Metrics:
        prober = ItemProber(made.ingested, made.recommender, out.data, probe_config(site="item"), "cpu", 0)
        prober({"start": 0, "stop": made.ingested.metrics["items"]})
        return {"site": "item", "width": WIDTH}

    return made._replace(activations=commit("activations", write))
