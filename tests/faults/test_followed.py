"""The second night, undisturbed: it goes on from the first, keeps what is as it was, and says what is not."""

from __future__ import annotations

import pytest

from recsae.pipeline.stages import STAGES
from recsae.store.run_store import Committed
from tests.faults.nights import Store

pytestmark = pytest.mark.short
IDS_HELD = 0.8
"""Of the first night's living latents."""


def first(nights: Store, stage: str) -> Committed:
    store = nights.pipeline().store
    done = store.committed(stage, store.nights.all()[0]["fingerprints"][stage])
    assert done is not None
    return done


def test_weights_and_ids_inside_go_on(nights: Store) -> None:
    for stage in ("recommender", "sae"):
        assert first(nights, stage).metrics["start"] == "fresh"
        assert nights.committed(stage).metrics["start"] == "warm"
    for name, column in (("users.parquet", "user_id"), ("items.parquet", "item_id")):
        before, after = (
            done.read_table(name, [column])[column].to_pylist()
            for done in (first(nights, "ingest"), nights.committed("ingest"))
        )
        assert after[: len(before)] == before


def test_concepts_keep_their_ids_and_the_drift_tells_of_each(nights: Store) -> None:
    before = set(first(nights, "concepts").read_table("concepts.parquet")["stable_id"].to_pylist())
    tonight = nights.dictionary()
    held = before & set(tonight.stable_id)
    assert len(held) >= IDS_HELD * len(before)
    told = nights.committed("concepts").metrics["drift"]
    assert told["kept"] + told["renamed"] + told["moved"] == len(held)
    assert told["new"] == len(tonight) - len(held) and told["gone"] == len(before) - len(held)
    assert sorted(set(tonight.drift)) == sorted(
        change for change in ("kept", "moved", "new", "renamed") if told[change]
    )


def test_only_what_changed_is_labelled_anew(nights: Store) -> None:
    labels = nights.committed("labels")
    rows = labels.read_table("labelled.parquet").to_pylist()
    carried = {row["latent"] for row in rows if row["carried"]}
    assert (
        0 < len(carried) == labels.metrics["carried"]
        and labels.metrics["requests"] < first(nights, "labels").metrics["requests"]
    )
    assert all(row["jaccard"] >= 0.5 for row in rows if row["carried"])
    tonight = nights.dictionary()
    assert not (tonight[tonight.index.isin(carried)].drift == "renamed").any()
    assert nights.committed("scores").metrics["reused"] > 0


def test_run_again_it_is_itself(nights: Store) -> None:
    status, said = nights.run("nightly")
    assert status == 0 and nights.served() == 2
    assert said.count("committed already") == len(STAGES)
