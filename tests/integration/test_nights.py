"""Three undisturbed nights: each goes on from the one before, keeps what is as it was, and says what is not."""

from __future__ import annotations

import pytest

from recsae.config.loader import load
from recsae.pipeline.runner import Pipeline
from recsae.pipeline.stages import STAGES
from recsae.schemas.nightly import CHANGES
from recsae.store.run_store import Committed
from tests.faults.nights import FIRST, SECOND, Store, empty

pytestmark = pytest.mark.short
NIGHTS = (FIRST, "data.replay_fraction=0.9", SECOND)
IDS_HELD = 0.8
"""Of the alive latents of the night before."""


@pytest.fixture(scope="module")
def nights(ray_session: str, engines: None, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All nights, made in this process: a process for each would import and start everything again."""
    store = empty(tmp_path_factory.mktemp("nights"), ray_session)
    for night in NIGHTS:
        pipeline = Pipeline(load(store.toml, [f"store.root={store.root}", night]))
        for stage in STAGES:
            pipeline.run(stage)
        pipeline.publish()
    return store


def committed(nights: Store, number: int, stage: str) -> Committed:
    """What a night, counted from 0, has of a stage."""
    store = nights.pipeline().store
    done = store.committed(stage, store.nights.all()[number]["fingerprints"][stage])
    assert done is not None
    return done


each_later_night = pytest.mark.parametrize("number", range(1, len(NIGHTS)))


@each_later_night
def test_weights_and_ids_inside_go_on(nights: Store, number: int) -> None:
    for stage in ("recommender", "sae"):
        assert committed(nights, 0, stage).metrics["start"] == "fresh"
        assert committed(nights, number, stage).metrics["start"] == "warm"
    for name, column in (("users.parquet", "user_id"), ("items.parquet", "item_id")):
        before, after = (
            committed(nights, night, "ingest").read_table(name, [column])[column].to_pylist()
            for night in (number - 1, number)
        )
        assert after[: len(before)] == before


@each_later_night
def test_concepts_keep_their_ids_and_the_drift_tells_of_each(nights: Store, number: int) -> None:
    concepts = committed(nights, number, "concepts")
    before = set(committed(nights, number - 1, "concepts").read_table("concepts.parquet")["stable_id"].to_pylist())
    rows = concepts.read_table("concepts.parquet").to_pylist()
    held = before & {row["stable_id"] for row in rows}
    assert len(held) >= IDS_HELD * len(before)
    told = concepts.metrics["drift"]
    every = {change: told[change] + told["unnamed"][change] for change in CHANGES}
    assert every["kept"] + every["renamed"] + every["moved"] == len(held)
    assert every["new"] == len(rows) - len(held) and every["gone"] == len(before) - len(held)
    changes = sorted({row["drift"] for row in rows})
    assert changes == [change for change in ("kept", "moved", "new", "renamed") if every[change]]


@each_later_night
def test_only_what_changed_is_labelled_anew(nights: Store, number: int) -> None:
    labels = committed(nights, number, "labels")
    rows = labels.read_table("labelled.parquet").to_pylist()
    carried = {row["latent"] for row in rows if row["carried"]}
    assert (
        0 < len(carried) == labels.metrics["carried"]
        and labels.metrics["requests"] < committed(nights, 0, "labels").metrics["requests"]
    )
    assert all(row["jaccard"] >= 0.5 for row in rows if row["carried"])
    judged = [
        {row["stable_id"]: row["judge_name"] for row in done.read_table("concepts.parquet").to_pylist()}
        for done in (committed(nights, night, "concepts") for night in (number - 1, number))
    ]
    ids = [row["stable_id"] for row in rows if row["carried"]]
    assert all(judged[0].get(one) in (judged[1].get(one), None) for one in ids)
    assert committed(nights, number, "scores").metrics["reused"] > 0


def test_run_again_the_last_is_itself(nights: Store) -> None:
    status, said = nights.run("nightly")
    assert status == 0 and nights.served() == len(NIGHTS)
    assert said.count("committed already") == len(STAGES)
