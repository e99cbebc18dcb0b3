"""The whole stage on planted streams, against scipy and plain counting. Ray's tasks run in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy import stats

from recsae.config.schema import Config
from recsae.sae import fidelity, model
from recsae.sae.model import Sae
from recsae.schemas.base import ITEMS, PARTS, activations
from recsae.schemas.concepts import ATTRIBUTE_BEST, ATTRIBUTE_STATS, CODES, COHERENCE
from recsae.statistics import auc, permutation_null, stage
from recsae.statistics.accumulate import case_hash
from recsae.statistics.stage import measure_statistics, views_of
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.concepts.in_place import without_ray
from tests.conftest import Commit

CASES, WIDTH, LATENTS, K = 1500, 6, 12, 3
ITEMS_OF: list[dict[str, list[str]]] = [
    {"genres": ["Drama"], "tags": ["slow"]},
    {"genres": ["War", "Drama"]},
    {"genres": ["War"], "tags": ["loud", "slow"]},
    {"genres": ["Comedy"], "tags": ["loud"]},
    {"genres": ["Comedy", "War"]},
    {},
    {"genres": ["Rare"]},
]
N_ITEMS = len(ITEMS_OF)


def config(**changed: Any) -> Config:
    given = {
        "name": "test",
        "data": {"interactions": ["-"], "items": ["-"]},
        "statistics": {"attributes": 3, "permutations": 12},
        **changed,
    }
    return Config.model_validate(given)


def cases(seed: int = 3) -> pa.Table:
    """Vectors follow the genres of both items; every seventh case has no recommended one, one item is rare."""
    draws = np.random.default_rng(seed)
    share = [0.25, 0.2, 0.15, 0.15, 0.1, 0.14, 0.01]
    top, item = (draws.choice(N_ITEMS, CASES, p=share) for _ in range(2))
    x = draws.normal(2, 1, (CASES, WIDTH))
    x[:, 1] += 1.5 * np.isin(top, [0, 1])
    x[:, 3] -= 2 * np.isin(item, [3, 4])
    return pa.table(
        {
            "case_id": draws.permutation(CASES),
            "user_idx": draws.integers(0, 300, CASES),
            "position": np.arange(CASES),
            "item_idx": item,
            "top_idx": pa.array(top, mask=np.arange(CASES) % 7 == 0),
            "part": draws.integers(0, 3, CASES),
            "activation": shards.column(x.astype(np.float32)),
        }
    ).cast(activations(WIDTH))


def committed(commit: Commit, table: pa.Table, edges: list[int]) -> dict[str, Committed]:
    """Inputs of the stage; the cases are in shards cut at `edges`."""

    def catalogue(out: Attempt) -> Metrics:
        items = [
            {
                "item_idx": item,
                "item_id": str(item),
                "title": "",
                "attributes": [{"name": name, "value": value} for name, of in by_name.items() for value in of],
                "popularity": 0,
            }
            for item, by_name in enumerate(ITEMS_OF)
        ]
        out.write_table("items.parquet", pa.Table.from_pylist(items, ITEMS), ITEMS)
        return {}

    def stream(out: Attempt) -> Metrics:
        for start, stop in zip([0, *edges], [*edges, table.num_rows], strict=True):
            piece = table.slice(start, stop - start)
            shards.write(out.data, f"{shards.PREFIX}{start:06d}-{stop:06d}.arrow", piece, activations(WIDTH))
        return {"width": WIDTH, "cases": table.num_rows}

    def an_sae(out: Attempt) -> Metrics:
        torch.manual_seed(4)
        sae = Sae(WIDTH, LATENTS, "topk", K).requires_grad_(False)
        sae.mean_D.fill_(2)
        sae.b_enc[7] = -100  # a dead one
        model.save(out.data.child("model"), sae)
        return {"fidelity": {"rank": 2}}

    return {"ingest": commit("ingest", catalogue), "activations": commit("a", stream), "sae": commit("sae", an_sae)}


class Made:
    """Tables that the stage wrote."""

    def __init__(self, commit: Commit, config: Config, inputs: Mapping[str, Committed]) -> None:
        self.inputs = inputs
        self.done = commit("statistics", lambda out: measure_statistics(config, inputs, out))
        self.metrics = self.done.metrics
        self.stats, self.best, self.coherence = (
            self.done.read_table(f"{name}.parquet") for name in ("attribute_stats", "attribute_best", "coherence")
        )


def dense_codes(inputs: Mapping[str, Committed], table: pa.Table, rows: np.ndarray) -> dict[str, np.ndarray]:
    """`(cases, latents)` of every code, on the given rows."""
    x_all = shards.vectors(table)
    x = x_all[rows]
    explain = x_all[table["part"].to_numpy() == 0].astype(np.float64)
    axes = np.linalg.eigh(np.cov(explain.T))[1].T[::-1]
    found = {"raw": x.astype(np.float64), "pca": (x - explain.mean(0)) @ axes.T}
    folder = inputs["sae"].data.child("model")
    untrained = fidelity.fit_untrained(inputs["activations"], folder, 2, 0, "cpu")
    for name, sae in (("sae", model.load(folder)), ("untrained", untrained.on("cpu").sae)):
        index, value = sae.encode(torch.from_numpy(x))
        found[name] = torch.zeros(len(x), LATENTS).scatter_add(1, index.long(), value).double().numpy()
    return found


@pytest.mark.parametrize("edges", [[], [0, 1, 2, 700, 1499]])
def test_every_figure_is_that_of_scipy_and_plain_counting(
    commit: Commit, edges: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    monkeypatch.setattr(auc, "MAX_PAIRS", 400)
    monkeypatch.setattr(auc, "MAX_SORTED_PAIRS", 200)
    table = cases()
    made = Made(
        commit,
        config(statistics={"views": "both", "attributes": 3, "permutations": 2}),
        committed(commit, table, edges),
    )
    assert made.stats.schema.equals(ATTRIBUTE_STATS) and made.best.schema.equals(ATTRIBUTE_BEST)
    frame = made.stats.to_pandas()
    for view, column in (("recommended", "top_idx"), ("input", "item_idx")):
        item = table[column].fill_null(-1).to_numpy()
        rows = np.flatnonzero((table["part"].to_numpy() == PARTS.index("score")) & (item >= 0))
        codes = dense_codes(made.inputs, table, rows)
        bears = {
            (name, value): np.array([value in ITEMS_OF[one].get(name, []) for one in item[rows]])
            for by_name in ITEMS_OF
            for name, values in by_name.items()
            for value in values
        }
        assert 0 < bears.pop(("genres", "Rare")).sum() < 50
        for code in CODES:
            mine = frame[(frame.code == code) & (frame.view == view)]
            z = codes[code]
            alive = [h for h in range(z.shape[1]) if z[:, h].std() > 0]
            assert mine.latent.tolist() == np.repeat(alive, 3).tolist()
            assert mine["rank"].tolist() == [0, 1, 2] * len(alive)
            for latent, of in mine.groupby("latent"):
                r = {pair: stats.pearsonr(z[:, latent], borne).statistic for pair, borne in bears.items()}
                order = sorted(r, key=lambda pair: -abs(r[pair]))[:3]
                assert list(zip(of.attribute, of.value, strict=True)) == order
                for row in of.itertuples():
                    _check_row(row, z[:, latent], bears[row.attribute, row.value], r, code in ("sae", "untrained"))
            best = made.best.to_pandas()
            best = best[(best.code == code) & (best.view == view)]
            assert set(zip(best.attribute, best.value, strict=True)) == set(bears)
            for row in best.itertuples():
                r_H = np.array([stats.pearsonr(z[:, h], bears[row.attribute, row.value]).statistic for h in alive])
                r_H = r_H if code in ("sae", "untrained") else np.abs(r_H)
                assert row.correlation == pytest.approx(r_H.max(), abs=1e-5)
                assert row.latent == alive[r_H.argmax()] and row.cases == bears[row.attribute, row.value].sum()


def _check_row(row: Any, z: np.ndarray, borne: np.ndarray, r: dict[tuple[str, str], float], fires: bool) -> None:
    assert row.cases == borne.sum()
    assert row.correlation == pytest.approx(r[row.attribute, row.value], abs=1e-5)
    assert row.mean_activation == pytest.approx(z[borne].mean(), abs=1e-5)
    if not fires:
        assert all(pd.isna(value) for value in (row.fires, row.both, row.p_fires, row.p_attribute, row.auc))
        return
    fired = z > 0
    assert (row.fires, row.both) == (fired.sum(), (fired & borne).sum())
    assert row.p_fires == pytest.approx(fired[borne].mean()) and row.p_attribute == pytest.approx(borne[fired].mean())
    found = stats.mannwhitneyu(z[borne], z[~borne])
    assert row.auc == pytest.approx(found.statistic / (borne.sum() * (~borne).sum()), rel=1e-9)


def test_the_cut_of_shards_changes_no_table(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    table = cases()
    one, other = (Made(commit, config(), committed(commit, table, edges)) for edges in ([], [400, 400, 1100]))
    for name in ("stats", "best", "coherence"):
        frames = [getattr(made, name).to_pandas() for made in (one, other)]
        if name == "stats":  # how long an untrained SAE's activations are is fitted on the first shard
            for frame in frames:
                frame.loc[frame.code == "untrained", "mean_activation"] = 0
        pd.testing.assert_frame_equal(*frames, atol=1e-6)


def test_the_null_is_of_the_cases_with_the_smallest_hash(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 of some 430, permuted by the plain functions that test_permutation_null.py holds against loops."""
    without_ray(monkeypatch)
    table = cases()
    asked = {"attributes": 3, "permutations": 30, "null_cases": 100}
    made = Made(commit, config(statistics=asked, seed=5), committed(commit, table, [700]))
    known = (table["part"].to_numpy() == PARTS.index("score")) & table["top_idx"].is_valid().to_numpy()
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(case_hash(table["case_id"].to_numpy()[rows], 5))[:100]]
    best = made.best.to_pandas()
    bears = stage.attributes.select_attributes(
        ITEMS_OF, np.bincount(table["top_idx"].to_numpy()[known].astype(int)), LATENTS
    )
    for code in ("sae", "raw"):
        z = dense_codes(made.inputs, table, rows)[code]
        z = z - z.mean(0)
        item = table["top_idx"].to_numpy()[rows].astype(int)
        null = permutation_null.best_of_permuted(z, item, bears.has_IA, range(30), 5, both_signs=code == "raw")
        mine = best[best.code == code]
        assert list(zip(mine.attribute, mine.value, strict=True)) == bears.pairs
        np.testing.assert_allclose(mine.null_mean, null.best_PA.mean(0), atol=1e-5)
        np.testing.assert_allclose(mine.null_upper, np.quantile(null.best_PA, 0.95, axis=0), atol=1e-5)
        np.testing.assert_allclose(mine.p_value, (1 + (null.best_PA >= null.observed_A - 1e-9).sum(0)) / 31)
        genres = mine[mine.attribute == "genres"]
        metrics = made.metrics["best"]["recommended"]["genres"][code]
        assert metrics["attributes"] == len(genres) == 3
        assert metrics["mean"] == pytest.approx(genres.correlation.mean())
        assert metrics["corrected"] == pytest.approx(genres.correlation.mean() - genres.null_mean.mean())
        of = [name == "genres" for name, _ in bears.pairs]
        assert metrics["null_upper"] == pytest.approx(np.quantile(null.best_PA[:, of].mean(1), 0.95), abs=1e-5)


def test_coherence_has_every_latent_of_three_codes(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    table = cases()
    made = Made(commit, config(), committed(commit, table, []))
    assert made.coherence.schema.equals(COHERENCE)
    frame = made.coherence.to_pandas()
    assert frame.groupby("code").latent.apply(list).to_dict() == {
        "raw": list(range(WIDTH)),
        "sae": list(range(LATENTS)),
        "untrained": list(range(LATENTS)),
    }
    sae = frame[frame.code == "sae"].set_index("latent")
    assert sae.loc[7].isna().sum() == 4 and sae.drop(index=7).within.notna().all()
    # One latent by a plain loop, over all score cases, with and without a recommended item.
    rows = np.flatnonzero(table["part"].to_numpy() == PARTS.index("score"))
    z, x = dense_codes(made.inputs, table, rows)["sae"][:, 2], shards.vectors(table)[rows].astype(np.float64)
    user = table["user_idx"].to_numpy()[rows]
    chosen: list[int] = []
    for row in np.argsort(-z):
        if len(chosen) < 5 and user[row] not in user[chosen]:
            chosen.append(int(row))
    mean = shards.vectors(table)[table["part"].to_numpy() == 0].mean(0)
    for column, away in (("within", 0), ("within_centred", mean)):
        unit = x[chosen] - away
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        assert sae.loc[2, column] == pytest.approx((unit @ unit.T)[~np.eye(5, dtype=bool)].mean(), abs=1e-5)
    for name in ("sae", "raw", "untrained"):
        for key, value in made.metrics["coherence"][name].items():
            assert value == pytest.approx(frame[frame.code == name][key].mean())


def test_without_recommended_items_there_are_no_rows_but_coherence(
    commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    table = cases()
    table = table.set_column(4, "top_idx", pa.nulls(table.num_rows, pa.int32())).cast(activations(WIDTH))
    made = Made(commit, config(), committed(commit, table, []))
    assert made.stats.num_rows == made.best.num_rows == 0 and made.metrics["best"] == {}
    assert made.metrics["views"] == {"recommended": {"cases": 0, "attributes": 0}}
    assert made.coherence.num_rows == 2 * LATENTS + WIDTH


@pytest.mark.parametrize(
    ("recommender", "probe", "views", "expected"),
    [
        ("sasrec", {}, "view", ["recommended"]),
        ("sasrec", {"site": "block-1"}, "view", ["input"]),
        ("sasrec", {"site": "block-1"}, "both", ["recommended", "input"]),
        ("bprmf", {}, "both", ["recommended"]),
        ("bprmf", {"site": "item"}, "both", ["input"]),
        ("sasrec", {"site": "item"}, "both", ["input"]),
    ],
)
def test_views(recommender: str, probe: dict[str, str], views: str, expected: list[str]) -> None:
    asked = config(recommender={"kind": recommender}, probe=probe, statistics={"views": views})
    assert views_of(asked) == expected
