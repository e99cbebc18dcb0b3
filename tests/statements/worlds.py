"""A planted world: items with attributes and communities, users with habits, and latents whose rules are known.

Four families of latents: formulas over attributes, communities of items that no attribute names, behaviours of users,
and noise. A latent fires in HIT of the cases where its rule holds and in FALSE_ALARM of the others. A quarter of the
users is kept from everything; on their cases statements are compared with the rules.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.data.chunks import n_chunks, read_cases
from recsae.data.stage import ingest
from recsae.sae import model
from recsae.sae.model import Sae
from recsae.schemas.base import PARTS, activations
from recsae.statements import behaviour, features, reading, spaces, stage
from recsae.statements.evaluation import Cases
from recsae.statements.features import ItemFeatures
from recsae.statements.reading import ReadingPlan
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit

USERS, COMMUNITIES, PER_COMMUNITY, GENRES, SHARDS = 2400, 12, 100, 10, 4
ITEMS = COMMUNITIES * PER_COMMUNITY
HIT, FALSE_ALARM = 0.92, 0.03
REPEATS = 0.12
FIRST, DAY = 1_700_000_000_000_000, 86_400_000_000
FAMILIES = ("formula", "item set", "behaviour", "noise")
NOISE = 40
Rule = Callable[[Cases], np.ndarray]


class Planted(NamedTuple):
    """A latent and when it fires; noise has no rule."""

    family: str
    words: str
    rule: Rule | None


class World(NamedTuple):
    """What the stage reads, and what is true."""

    config: Config
    inputs: dict[str, Committed]
    kept: ReadingPlan
    """Reads the cases of the users who are kept from everything."""
    features: ItemFeatures
    latents: list[Planted]


class Items(NamedTuple):
    """By number of the item, which its id ends with."""

    genre_IG: np.ndarray
    year_I: np.ndarray
    community_I: np.ndarray


def make_items() -> Items:
    """Every community has the same genres and years, so no attribute tells one from another, and a formula is as true
    or false in each."""
    draw = np.random.default_rng(1)
    genre_PG = draw.random((PER_COMMUNITY, GENRES)) < 0.3
    genre_PG[np.arange(PER_COMMUNITY), draw.integers(0, GENRES, PER_COMMUNITY)] = True
    pattern_I = np.repeat(np.arange(PER_COMMUNITY), COMMUNITIES)
    year_P = draw.integers(1960, 2020, PER_COMMUNITY)
    return Items(genre_PG[pattern_I], year_P[pattern_I], np.tile(np.arange(COMMUNITIES), PER_COMMUNITY))


def _write_events(folder: Path, items: Items) -> None:
    draw = np.random.default_rng(2)
    weights = 1 / (1 + draw.permutation(PER_COMMUNITY)) ** 0.5
    members = [np.flatnonzero(items.community_I == community) for community in range(COMMUNITIES)]
    rows: list[tuple[str, str, int]] = []
    for user in range(USERS):
        followed = draw.choice(COMMUNITIES, 2, replace=False)
        time, history = FIRST + int(draw.integers(0, 300 * 24)) * DAY // 24, []
        for event in range(int(draw.integers(8, 36))):
            if history and draw.random() < REPEATS:
                item = history[-int(draw.integers(1, min(len(history), 4) + 1))]
            else:
                community = followed[event // 6 % 2] if draw.random() < 0.9 else draw.integers(COMMUNITIES)
                item = int(draw.choice(members[community], p=weights / weights.sum()))
            history.append(item)
            time += int(draw.exponential(1.5) * DAY) + 1
            rows.append((f"u{user:04d}", f"i{item:04d}", time))
    columns = dict(zip(("user_id", "item_id", "timestamp"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "interactions.parquet")
    pq.write_table(
        pa.table(
            {
                "item_id": [f"i{item:04d}" for item in range(ITEMS)],
                "title": [f"{item:04d}" for item in range(ITEMS)],
                "genres": [[f"Genre{genre}" for genre in np.flatnonzero(row)] for row in items.genre_IG],
                "year": [str(year) for year in items.year_I],
            }
        ),
        folder / "items.parquet",
    )


def _formulas(items: Items, number_I: np.ndarray) -> list[Planted]:
    """Rules over genres and years, each of the item recommended and of the last one."""
    has = [items.genre_IG[number_I, genre] for genre in range(GENRES)]
    year_I = items.year_I[number_I]
    found: list[tuple[str, np.ndarray]] = []
    for first in range(3):
        a, b, c, d = (has[(first * 3 + step) % GENRES] for step in range(4))
        low = 1965 + 10 * first
        years_I = (year_I >= low) & (year_I <= low + 24)
        found += [
            (f"and {first}", a & b),
            (f"or {first}", c | d),
            (f"and not {first}", a & ~c),
            (f"range {first}", years_I),
            (f"and range {first}", b & years_I),
            (f"or, and not {first}", (a | b) & ~d),
            (f"or, not, range {first}", (b | c) & ~a & years_I),
        ]
    return [
        Planted("formula", f"{view}: {words}", _of_item(view, holds_I))
        for words, holds_I in found
        for view in ("recommended", "last")
    ]


def _of_item(view: str, holds_I: np.ndarray) -> Rule:
    return lambda cases: np.asarray((cases.of_view(view) >= 0) & holds_I[cases.of_view(view)])


def _behaviours() -> list[Planted]:
    ends: dict[str, list[tuple[float, float]]] = {
        behaviour.LENGTH: [(0, 5), (0, 9), (20, np.inf), (10, 16)],
        behaviour.POPULARITY: [(0.75, 1), (0, 0.55), (0, 0.62), (0.7, 1)],
        behaviour.REPEATS: [(0.2, 1), (0.25, 1), (0, 0.05)],
        behaviour.SAME_ITEM: [(1, 1)],
        behaviour.WEEKDAY: [(5, 6), (0, 2)],
        behaviour.HOUR: [(18, 23), (6, 11)],
        behaviour.DAYS: [(0, 0.5), (2.5, np.inf)],
    }

    def rule(feature: str, low: float, high: float) -> Rule:
        return lambda cases: (cases.behaviour[feature] >= low) & (cases.behaviour[feature] <= high)

    return [
        Planted("behaviour", f"{feature} {low} to {high}", rule(feature, low, high))
        for feature, ranges in ends.items()
        for low, high in ranges
    ]


def plant(items: Items, number_I: np.ndarray) -> list[Planted]:
    """All latents; `number_I` holds the number of each item_idx."""
    communities = [
        Planted("item set", f"{view}: community {one}", _of_item(view, items.community_I[number_I] == one))
        for one in range(COMMUNITIES)
        for view in ("recommended", "last")
    ]
    noise = [Planted("noise", f"noise {one}", None) for one in range(NOISE)]
    return [*_formulas(items, number_I), *communities, *_behaviours(), *noise]


def write_world(folder: Path, commit: Commit) -> World:
    """Ingest the events, then write shards, SAE and statistics by the rules."""
    items = make_items()
    folder.mkdir(parents=True, exist_ok=True)
    _write_events(folder, items)
    config = Config.model_validate(
        {
            "name": "test",
            "data": {
                "interactions": [str(folder / "interactions.parquet")],
                "items": [str(folder / "items.parquet")],
                "attributes": {"genres": "", "year": ""},
                "min_user_events": 1,
                "min_item_events": 1,
            },
            "cases": {"max_per_user": 12},
            "recommender": {"kind": "given"},
            "probe": {"activations": ["given.parquet"], "cases": "given.parquet"},
        }
    )
    ingested = commit("ingest", lambda out: ingest(config, {}, out))
    ids = ingested.read_table("items.parquet", ["item_id"]).column("item_id").to_pylist()
    number_I = np.array([int(item_id[1:]) for item_id in ids])
    latents = plant(items, number_I)
    cases = pa.concat_tables([read_cases(ingested, number) for number in range(n_chunks(ingested))])
    cases = cases.append_column("top_idx", pa.array(_recommended(cases, items.community_I[number_I])))
    sae = _sae(latents)

    def save(out: Attempt) -> Metrics:
        model.save(out.data.child("model"), sae)
        return {}

    saved = commit("sae", save)
    catalogue = Catalogue.read(ingested)
    item_features = features.build(catalogue, {"co-consumption": spaces.co_consumption(ingested, ITEMS, config.seed)})
    plan = stage._reading_plan(
        config, {"ingest": ingested, "activations": ingested, "sae": saved}, sae,
        stage._about(ingested, catalogue, item_features), [],
    )  # fmt: skip
    code_BH = _codes(latents, _as_seen(plan, cases))
    kept_B = cases["user_idx"].to_numpy() % 4 == 3
    searched = _shards(commit, cases.filter(pa.array(~kept_B)), code_BH[~kept_B], len(FAMILIES))
    kept = _shards(commit, cases.filter(pa.array(kept_B)), code_BH[kept_B], len(FAMILIES))
    statistics = commit("evidence", lambda out: _write_statistics(out, code_BH[~kept_B]))
    inputs = {"ingest": ingested, "sae": saved, "activations": searched, "evidence": statistics}
    return World(config, inputs, plan._replace(activations=kept), item_features, latents)


def _recommended(cases: pa.Table, community_I: np.ndarray) -> np.ndarray:
    """An item of the community of the last one, or, in three of ten cases, any."""
    draw = np.random.default_rng(3)
    members = [np.flatnonzero(community_I == community) for community in range(COMMUNITIES)]
    of_last = community_I[cases["item_idx"].to_numpy()]
    same = np.array([draw.choice(members[community]) for community in of_last.tolist()])
    return np.where(draw.random(len(of_last)) < 0.3, draw.integers(0, ITEMS, len(of_last)), same).astype(np.int32)


def _sae(latents: list[Planted]) -> Sae:
    """Latent n reads axis n. Directions of one family have a cosine of a half, as those of latents that have to do
    with each other have, so that a latent's partner is of another family."""
    sae = Sae(len(latents) + len(FAMILIES), len(latents), "relu")
    own = torch.eye(len(latents))
    shared = torch.eye(len(FAMILIES))[[FAMILIES.index(latent.family) for latent in latents]]
    with torch.no_grad():
        sae.W_enc.copy_(torch.cat([own, torch.zeros_like(shared)], dim=1))
        sae.W_dec.copy_(torch.cat([own, shared], dim=1) / 2**0.5)
    return sae


def _as_seen(plan: ReadingPlan, cases: pa.Table) -> Cases:
    columns = (cases[name].to_numpy() for name in ("user_idx", "position", "top_idx", "item_idx"))
    user_B, position_B, recommended_B, last_B = columns
    return reading._with_history(plan, user_B.astype(np.int64), position_B, recommended_B, last_B)


def _codes(latents: list[Planted], cases: Cases) -> np.ndarray:
    """The activations of all latents, `(B, H)` float32."""
    draw = np.random.default_rng(4)
    size = len(cases.last_B)
    chance_BH = np.empty((size, len(latents)))
    for number, latent in enumerate(latents):
        rate = draw.uniform(0.03, 0.4)
        chance_BH[:, number] = np.where(latent.rule(cases), HIT, FALSE_ALARM) if latent.rule else rate
    fires_BH = draw.random(chance_BH.shape) < chance_BH
    return np.where(fires_BH, draw.uniform(1, 2, fires_BH.shape), 0).astype(np.float32)


def _shards(commit: Commit, cases: pa.Table, code_BH: np.ndarray, further: int) -> Committed:
    vectors = np.concatenate([code_BH, np.zeros((len(code_BH), further), np.float32)], axis=1)
    part = pa.array([PARTS.index(part) for part in cases["part"].to_pylist()], pa.int8())
    table = cases.set_column(cases.column_names.index("part"), "part", part)
    table = table.append_column("activation", shards.column(vectors))

    def write(out: Attempt) -> Metrics:
        edges = np.linspace(0, table.num_rows, SHARDS + 1).astype(int)
        for number, (start, stop) in enumerate(itertools.pairwise(edges.tolist())):
            rows = table.slice(start, stop - start).combine_chunks()
            shards.write(out.data, f"{shards.PREFIX}{number:03d}.arrow", rows, activations(vectors.shape[1]))
        return {"cases": table.num_rows}

    return commit("activations", write)


def _write_statistics(out: Attempt, code_BH: np.ndarray) -> Metrics:
    deciles = [np.quantile(code[code > 0], np.arange(1, 10) / 10).tolist() for code in code_BH.T]
    out.data.write_table("latent_stats.parquet", pa.table({"latent": range(len(deciles)), "quantiles": deciles}))
    return {}
