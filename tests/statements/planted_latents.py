"""Latents that fire by a rule: what the stage `statements` should say of them is known by construction.

A catalogue with genres, tags, years and communities that no attribute tells; users with a taste for two communities and
for popular or rare items, who come in sessions. The activations hold one column a latent and the SAE passes it through,
so no recommender is trained. A fifth of the users is kept from everything, to measure statements on. Shape suffixes: I
items, B cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.data.chunks import n_chunks, read_cases, read_chunk
from recsae.data.stage import ingest
from recsae.sae import model
from recsae.sae.model import Sae
from recsae.schemas.base import PARTS, activations
from recsae.schemas.concepts import LATENT_STATS
from recsae.statements import behaviour, clock, features, spaces
from recsae.statements.behaviour import About
from recsae.statements.evaluation import Cases, holds
from recsae.statements.features import ItemFeatures
from recsae.statements.language import Behaviour, Formula, Op, Range, Statement, Step, Term, View
from recsae.statements.reading import events_before
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit

ITEMS, COMMUNITIES, USERS = 600, 15, 1500
GENRES = ("Drama", "Comedy", "Action", "Horror", "Romance", "Western", "Musical", "Crime")
TAGS = ("gritty", "quirky", "lavish", "bleak", "tender", "satirical")
HIT, FALSE_ALARM = 0.9, 0.02
"""How often a latent fires where its rule holds, and where not."""
FAMILIES = ("formula", "item set", "behaviour", "noise")


class Planted(NamedTuple):
    """A latent, and in which cases its rule holds."""

    family: str
    rule: str
    truth_B: np.ndarray


class World(NamedTuple):
    """What the stage reads, and the truth."""

    config: Config
    inputs: dict[str, Committed]
    latents: list[Planted]
    cases: Cases
    fires_BH: np.ndarray
    kept_B: np.ndarray
    """Whether a case is kept from everything."""
    features: ItemFeatures


def build(folder: Path, commit: Commit, seed: int = 0) -> World:
    draw = np.random.default_rng(seed)
    community_I = _write(folder, draw)
    config = Config.model_validate(
        {
            "name": "planted",
            "data": {
                "interactions": [str(folder / "interactions.parquet")],
                "items": [str(folder / "items.parquet")],
                "attributes": {"genres": "", "tags": "", "year": ""},
                "min_user_events": 1,
                "min_item_events": 1,
            },
            "cases": {"max_per_user": 16},
        }
    )
    ingested = commit("ingest", lambda out: ingest(config, {}, out))
    catalogue = Catalogue.read(ingested)
    known = features.build(
        catalogue, {spaces.CO_CONSUMPTION: spaces.co_consumption(ingested, catalogue.n_items, config.seed)}
    )
    of_item = np.array([community_I[int(item_id)] for item_id in catalogue.ids])
    table, cases = _cases(ingested, catalogue, known, of_item, draw)
    latents = list(_latents(cases, known, of_item, table["user_idx"].to_numpy(), draw))
    truth_BH = np.stack([latent.truth_B for latent in latents], axis=1)
    noise_H = np.array([latent.family == "noise" for latent in latents])
    chance_BH = np.where(truth_BH, HIT, np.where(noise_H, 0.0, FALSE_ALARM))
    fires_BH = draw.random(chance_BH.shape) < np.where(noise_H & truth_BH, 1.0, chance_BH)
    kept_B = table["user_idx"].to_numpy() % 5 == 0
    vectors_BH = (fires_BH * draw.uniform(0.5, 1.5, fires_BH.shape)).astype(np.float32)
    inputs = {
        "ingest": ingested,
        "recommender": commit("recommender", lambda out: {}),
        "activations": commit("activations", lambda out: _activations(out, table, vectors_BH, ~kept_B)),
        "sae": commit("sae", lambda out: _sae(out, vectors_BH)),
        "evidence": commit("evidence", lambda out: _stats(out, len(latents))),
    }
    return World(config, inputs, latents, cases, fires_BH, kept_B, known)


def _write(folder: Path, draw: np.random.Generator) -> np.ndarray:
    """Write items and interactions; returns each item's community."""
    community_I = draw.integers(COMMUNITIES, size=ITEMS)
    genres = [sorted(draw.choice(GENRES, size=draw.integers(1, 4), replace=False).tolist()) for _ in range(ITEMS)]
    tags = [sorted(draw.choice(TAGS, size=draw.integers(0, 3), replace=False).tolist()) for _ in range(ITEMS)]
    items = {
        "item_id": [str(item) for item in range(ITEMS)],
        "title": [f"Film {item}" for item in range(ITEMS)],
        "genres": genres,
        "tags": tags,
        "year": [str(year) for year in draw.integers(1950, 2011, ITEMS)],
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    appeal_I = 1 / (1 + draw.permutation(ITEMS)) ** 0.6
    users: list[int] = []
    events: list[int] = []
    times: list[int] = []
    for user in range(USERS):
        liked = draw.choice(COMMUNITIES, size=2, replace=False)
        weight_I = np.where(np.isin(community_I, liked), 1.0, 0.03) * appeal_I ** draw.uniform(-0.5, 1.5)
        chosen = draw.choice(ITEMS, size=draw.integers(8, 45), replace=False, p=weight_I / weight_I.sum())
        gap = np.where(draw.random(len(chosen)) < 0.5, draw.uniform(60, 3_600), draw.uniform(40_000, 900_000))
        users += [user] * len(chosen)
        events += chosen.tolist()
        times += (1_600_000_000 + draw.integers(40_000_000) + np.cumsum(gap * draw.uniform(0.3, 1, len(gap)))).tolist()
    interactions = {
        "user_id": [str(user) for user in users],
        "item_id": [str(item) for item in events],
        "timestamp": pa.array(np.array(times).astype(np.int64)),
    }
    pq.write_table(pa.table(interactions), folder / "interactions.parquet")
    return community_I


def _cases(
    ingested: Committed, catalogue: Catalogue, known: ItemFeatures, community_I: np.ndarray, draw: np.random.Generator
) -> tuple[pa.Table, Cases]:
    """All cases with a history, the items recommended among them: one of the last item's community, or any."""
    vectors = next(iter(known.spaces.values()))
    about = About(known.numbers["popularity"], vectors, behaviour.attributes_of(catalogue), clock.of_ingest(ingested))
    tables, parts = [], []
    for number in range(n_chunks(ingested)):
        table = read_cases(ingested, number)
        table = table.filter(pa.compute.greater(table["position"], 0))
        chunk = read_chunk(ingested, number, with_times=True)
        user_B, position_B = table["user_idx"].to_numpy().astype(np.int64), table["position"].to_numpy()
        event_BL = events_before(chunk, user_B, position_B)
        history_BL = np.where(event_BL >= 0, chunk.items[event_BL], -1)
        assert chunk.times is not None
        found = behaviour.features(history_BL, position_B, about, chunk.times[event_BL[:, :2]])
        last_B = table["item_idx"].to_numpy()
        alike = [np.flatnonzero(community_I == community) for community in range(COMMUNITIES)]
        top_B = np.array(
            [draw.choice(alike[community_I[last]]) if draw.random() < 0.5 else draw.integers(ITEMS) for last in last_B]
        )
        tables.append(table.append_column("top_idx", pa.array(top_B, pa.int32())))
        parts.append(Cases(top_B, last_B, history_BL, found))
    together = Cases(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Cases._fields[:3]),
        {name: np.concatenate([part.behaviour[name] for part in parts]) for name in parts[0].behaviour},
    )
    return pa.concat_tables(tables).combine_chunks(), together


def _latents(
    cases: Cases, known: ItemFeatures, community_I: np.ndarray, user_B: np.ndarray, draw: np.random.Generator
) -> Iterator[Planted]:
    """Planted latents of all families."""
    for form in FORMS * 6:
        while True:
            view: View = "recommended" if draw.random() < 0.5 else "last"
            statement = Statement(view=view, body=form(draw))
            truth_B = holds([statement], known, cases)[:, 0]
            if 0.03 < truth_B.mean() < 0.4:
                yield Planted("formula", statement.to_json(), truth_B)
                break
    for community in range(COMMUNITIES):
        for view in ("recommended", "last"):
            yield Planted("item set", f"{view} {community}", community_I[cases.of_view(view)] == community)
    for name, quantile, above in BEHAVIOURS:
        value = float(np.nanquantile(cases.behaviour[name], quantile))
        body = Behaviour(feature=name, low=value) if above else Behaviour(feature=name, high=value)
        statement = Statement(view="history", body=body)
        yield Planted("behaviour", statement.to_json(), holds([statement], known, cases)[:, 0])
    for rate in np.linspace(0.02, 0.3, 20):
        yield Planted("noise", f"{rate:.2f} of the cases", draw.random(len(user_B)) < rate)
        whose = np.flatnonzero(draw.random(user_B.max() + 1) < rate)
        yield Planted("noise", f"{rate:.2f} of the users", np.isin(user_B, whose) & (draw.random(len(user_B)) < 0.7))


def _formula(first: Term | Range, *steps: tuple[Op, bool, Term | Range]) -> Formula:
    return Formula(literal=first, steps=tuple(Step(op=op, negated=no, literal=literal) for op, no, literal in steps))


def _terms(draw: np.random.Generator, count: int) -> list[Term]:
    return [Term(term=term) for term in draw.choice([*GENRES, *TAGS], size=count, replace=False).tolist()]


def _years(draw: np.random.Generator) -> Range:
    low = int(draw.integers(1955, 1985))
    return Range(feature="year", low=low, high=low + int(draw.integers(12, 20)))


def _both(draw: np.random.Generator) -> Formula:
    one, other = _terms(draw, 2)
    return _formula(one, ("and", False, other))


def _either(draw: np.random.Generator) -> Formula:
    one, other = _terms(draw, 2)
    return _formula(one, ("or", False, other))


def _without(draw: np.random.Generator) -> Formula:
    one, other, third = _terms(draw, 3)
    return _formula(one, ("or", False, other), ("and", True, third))


def _in_years(draw: np.random.Generator) -> Formula:
    one, other = _terms(draw, 2)
    return _formula(one, ("and", True, other), ("and", False, _years(draw)))


FORMS: tuple[Callable[[np.random.Generator], Formula], ...] = (_both, _either, _without, _in_years)
BEHAVIOURS = (
    (behaviour.LENGTH, 0.2, False),
    (behaviour.LENGTH, 0.4, False),
    (behaviour.LENGTH, 0.7, True),
    (behaviour.LENGTH, 0.9, True),
    (behaviour.POPULARITY, 0.2, False),
    (behaviour.POPULARITY, 0.3, False),
    (behaviour.POPULARITY, 0.8, True),
    (behaviour.POPULARITY, 0.9, True),
    (behaviour.DAYS, 0.3, False),
    (behaviour.DAYS, 0.6, True),
    (behaviour.DAYS, 0.8, True),
    (behaviour.HOUR, 0.25, False),
    (behaviour.HOUR, 0.75, True),
    (behaviour.WEEKDAY, 0.75, True),
    (behaviour.DIVERSITY, 0.2, False),
    (behaviour.DIVERSITY, 0.8, True),
)
"""Feature, the quantile of its values where the range ends, and whether it lies above."""


def _activations(out: Attempt, table: pa.Table, vectors_BH: np.ndarray, rows_B: np.ndarray) -> Metrics:
    part_B = pa.array([PARTS.index(part) for part in table["part"].to_pylist()], pa.int8())
    columns = {name: table[name] for name in ("case_id", "user_idx", "position", "item_idx", "top_idx")}
    whole = pa.table({**columns, "part": part_B, "activation": shards.column(vectors_BH)}).filter(pa.array(rows_B))
    half = whole.num_rows // 2
    for number, piece in enumerate((whole.slice(0, half), whole.slice(half))):
        shards.write(
            out.data, f"{shards.PREFIX}{number:05d}.arrow", piece.combine_chunks(), activations(vectors_BH.shape[1])
        )
    return {}


def _sae(out: Attempt, vectors_BH: np.ndarray) -> Metrics:
    """Passes the vectors through; the cosine of two decoder directions is the correlation of the two latents.

    So a statement is not put before a latent with a rule of the same kin as a control.
    """
    size, vectors = np.linalg.eigh(np.corrcoef(vectors_BH.T))
    sae = Sae(len(size), len(size), "relu")
    with torch.no_grad():
        sae.W_dec[:] = torch.from_numpy(vectors * np.sqrt(size.clip(min=0)))
        sae.W_enc[:] = torch.eye(len(size))
    model.save(out.data.child("model"), sae)
    return {}


def _stats(out: Attempt, latents: int) -> Metrics:
    rows = [
        {
            "latent": latent, "frequency": 0.1, "activations": 10, "maximum": 1.5, "top_items": [],
            "quantiles": (0.5 + np.arange(1, 10) / 10).tolist(), "evidence_hash": str(latent),
        }
        for latent in range(latents)
    ]  # fmt: skip
    out.write_table("latent_stats.parquet", pa.Table.from_pylist(rows, LATENT_STATS), LATENT_STATS)
    return {}
