"""What turning planted concepts does, after the whole line: through Ray, from the model to the dictionary."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pandas as pd
import pytest

from recsae.cli.main import main
from recsae.config.schema import Config
from recsae.pipeline.runner import Pipeline
from recsae.store.run_store import Committed
from tests.planted import PLANTED

CONCEPTS = set(PLANTED[:8])


def done(config: Config, stage: str) -> Committed:
    committed = Pipeline(config).committed(stage)
    assert committed is not None
    return committed


@pytest.fixture(scope="module")
def steered(planted_run: tuple[Config, Path]) -> pd.DataFrame:
    """What steering does on score users."""
    table = pd.DataFrame(done(planted_run[0], "steering").read_table("steering.parquet").to_pylist())
    return table[table.part == "score"]


@pytest.fixture(scope="module")
def planted(steered: pd.DataFrame) -> pd.DataFrame:
    """The same of the latents whose statement is a planted concept and nothing else."""
    return steered[steered.concept.isin(CONCEPTS)]


@pytest.fixture(scope="module")
def turned(planted: pd.DataFrame, planted_run: tuple[Config, Path]) -> pd.DataFrame:
    """Of every concept the latent that moves it most."""
    at = planted[planted.strength == planted_run[0].steering.reference]
    return planted[planted.latent.isin(at.loc[at.groupby("concept").share_change.idxmax()].latent)]


def test_every_planted_concept_can_be_turned(steered: pd.DataFrame, turned: pd.DataFrame) -> None:
    """Alone or in a statement that joins it to others."""
    assert all(steered.concept.str.contains(concept).any() for concept in CONCEPTS)
    assert len(turned)


def test_most_latents_raise_the_share_of_their_concept_above_random_directions(
    steered: pd.DataFrame, planted_run: tuple[Config, Path]
) -> None:
    at = steered[steered.strength == planted_run[0].steering.reference]
    assert (at.share_change > at.null_upper).mean() > 0.5, at[["concept", "share_change", "null_upper"]]


def test_turned_up_a_concept_rises_step_by_step_and_above_random_directions(
    turned: pd.DataFrame, planted_run: tuple[Config, Path]
) -> None:
    for concept, rows in turned[turned.operation == "add"].groupby("concept"):
        ordered = rows.sort_values("strength")
        assert ordered.share.is_monotonic_increasing, (concept, ordered.share.tolist())
        up = ordered[ordered.strength >= planted_run[0].steering.reference]
        assert (up.share_change > up.null_upper).all() and (up.share_lower > 0).all(), concept
        assert (up[-2:].share_lower > up[-2:].null_upper).all(), concept
        assert (ordered[ordered.strength < 0].share_change < 0).all(), concept


def test_turned_up_it_rises_about_as_much_as_by_the_probe_that_was_told_the_concept(
    turned: pd.DataFrame, planted_run: tuple[Config, Path]
) -> None:
    at = turned[turned.strength == planted_run[0].steering.reference]
    assert (at.share_change > 0.8 * at.probe_share_change).all()


def test_taken_out_a_concept_falls(planted: pd.DataFrame) -> None:
    """Where two latents share a concept the other stands in, so that one may fall by no more than by luck."""
    out = planted[planted.operation == "ablate"]
    most = out.loc[out.groupby("concept").share_change.idxmin()]
    assert (most.share_change < 0).all()
    assert (most.share_change < most.null_lower).sum() >= len(most) - 1


def test_other_concepts_move_less(turned: pd.DataFrame, planted_run: tuple[Config, Path]) -> None:
    """Others that do not join the concept to something else, and so rise with it."""
    at = turned[turned.strength == planted_run[0].steering.reference]
    at = at[[concept not in side for concept, side in zip(at.concept, at.side_concept, strict=True)]]
    assert (at.side_change.abs() < at.share_change).all()
    assert (at.side_effect < at.share_change / 2).all()


def test_the_dictionary_says_what_a_latent_does(turned: pd.DataFrame, planted_run: tuple[Config, Path]) -> None:
    config = planted_run[0]
    rows = pd.DataFrame(done(config, "concepts").read_table("concepts.parquet").to_pylist()).set_index("latent")
    for one in turned[turned.strength == config.steering.reference].itertuples():
        row = rows.loc[one.latent]
        assert (row.causal, row.causal_lower, row.causal_null) == (one.share_change, one.share_lower, one.null_upper)
        assert row.causal_ablation <= 0 < row.causal_lower
    assert rows[~rows.interpretable].causal.isna().all()


def ran(monkeypatch: pytest.MonkeyPatch, command: str, toml: Path, address: str, *options: str) -> None:
    """A command in this process, on the Ray that there is."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(sys, "argv", ["job", "--config", str(toml), *options])
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    main([command])


def test_explanations_of_all_users_add_up_to_what_is_recommended(
    planted_run: tuple[Config, Path], ray_session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained, recommended = tmp_path / "explained.parquet", tmp_path / "recommended.parquet"
    ran(monkeypatch, "explain", planted_run[1], ray_session, "--users", "all", "--to", str(explained))
    ran(monkeypatch, "recommend", planted_run[1], ray_session, "--to", str(recommended))
    why, what = pd.read_parquet(explained), pd.read_parquet(recommended)
    assert why.exact.all() and len(why) == len(what) == 10 * done(planted_run[0], "ingest").metrics["users"]
    parts = why[["listed", "others", "bias", "error", "rest"]].sum(axis=1)
    assert ((parts - why.score).abs() <= 1e-5 * why.score.abs().clip(lower=1)).all()
    both = why.merge(what, on=["user_id", "rank"])
    assert (both.item_id_x == both.item_id_y).mean() > 0.999  # of equal scores either may come first
    assert ((both.score_x - both.score_y).abs() <= 1e-5 * both.score_y.abs().clip(lower=1)).all()


def test_a_policy_moves_what_is_recommended_to_those_it_is_for(
    planted_run: tuple[Config, Path], ray_session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml, policy, listed = planted_run[1], tmp_path / "policy.json", tmp_path / "ids"
    listed.write_text("\n".join(f"user-{user:04d}" for user in range(300)))
    more = ("--more", "Horror", "--factor", "1.5", "--users", str(listed))
    ran(monkeypatch, "tune", toml, ray_session, *more, "--to", str(policy))
    tables = {}
    for name, options in {"clean": (), "steered": ("--policy", str(policy))}.items():
        ran(monkeypatch, "recommend", toml, ray_session, *options, "--to", str(tmp_path / name))
        tables[name] = pd.read_parquet(tmp_path / name)
    meant = tables["clean"].user_id < "user-0300"
    assert tables["steered"][~meant].equals(tables["clean"][~meant])
    shares = {name: (table[meant].item_id.map(concept_of) == "Horror").mean() for name, table in tables.items()}
    assert 1.2 * shares["clean"] < shares["steered"] < 2.5 * shares["clean"]


def concept_of(item_id: str) -> str:
    return PLANTED[int(item_id.removeprefix("item-")) % len(CONCEPTS)]
