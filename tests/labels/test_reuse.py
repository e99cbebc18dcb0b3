"""Labels that are reused, and latents that are labelled again."""

from __future__ import annotations

from typing import Any

import pytest

from recsae.concepts.best_candidate import read_labels
from recsae.config.schema import Config
from recsae.labels import stage as labelling
from recsae.labels.reuse import jaccard
from recsae.scores import stage as scoring
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics
from tests.concepts.worlds import firing, latents_by_concept, matches, run_stage
from tests.conftest import N_CONCEPTS, Commit
from tests.scores.fakes import FakePool

LABELLED = "labelled.parquet"


class Nights:
    """Labels and scores of successive nights; latents have the concepts of the planted catalogue."""

    def __init__(self, commit: Commit, ingested: Committed, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commit, self.ingested, self.patch = commit, ingested, monkeypatch
        self.config = config.model_copy(update={"nights": Config.model_validate({"name": "x", "nights": {}}).nights})
        self.pool = FakePool()

    def night(
        self, last: dict[str, Committed] | None = None, config: Config | None = None, **world: Any
    ) -> dict[str, Committed]:
        """The outputs of one night; `self.pool` was asked for labels, `self.judge` for verdicts."""
        config = config or self.config
        ids = world.pop("stable_ids", None)
        inputs = {
            "ingest": self.ingested,
            "evidence": latents_by_concept(self.commit, self.ingested, **world),
            "matching": matches(self.commit, N_CONCEPTS, ids),
            **firing(self.commit, self.ingested),
        }
        before = {PREVIOUS + name: found for name, found in (last or {}).items()}
        self.pool, self.judge = FakePool(), FakePool()
        inputs["labels"] = self._run(labelling, labelling.label_latents, config, {**inputs, **before}, self.pool)
        inputs["scores"] = self._run(scoring, scoring.score_concepts, config, {**inputs, **before}, self.judge)
        return inputs

    def _run(self, module: Any, stage: Any, config: Config, inputs: dict[str, Committed], pool: FakePool) -> Committed:
        done = run_stage(self.commit, module, stage, config, inputs, pool, self.patch)
        asked = config.recorded(include={"labels", "llm", "probe", "seed"})
        if module is scoring:
            asked = {name: value for name, value in asked.items() if name != "labels"}
        from recsae.llm.model import model_content

        return Committed(done.folder, {**done.manifest, "config": asked, "content": model_content(config)})


@pytest.fixture
def nights(commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(commit, ingested, planted_config, monkeypatch)


def table(night: dict[str, Committed]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = night["labels"].read_table(LABELLED).to_pylist()
    return rows


def test_a_first_night_labels_every_latent_and_records_its_items(nights: Nights) -> None:
    first = nights.night()
    assert [row["stable_id"] for row in table(first)] == [f"c-{latent}" for latent in range(N_CONCEPTS)]
    assert all(row["items"] and row["jaccard"] is None and not row["carried"] for row in table(first))
    assert first["labels"].metrics["carried"] == 0 and nights.pool.asked


def test_unchanged_latents_reuse_their_labels_without_a_prompt(nights: Nights) -> None:
    first = nights.night()
    second = nights.night(first)
    assert nights.pool.asked == [] and second["labels"].metrics["carried"] == N_CONCEPTS
    assert all(row["jaccard"] == 1 and row["carried"] for row in table(second))
    before, after = read_labels(first["labels"]), read_labels(second["labels"])
    chosen = {
        row["latent"]: row["candidate"]
        for row in first["scores"].read_table("scores.parquet").to_pylist()
        if row["part"] == "score"
    }
    for latent, rows in after.items():
        told = {number: {**row, "finalist": None} for number, row in rows.items()}
        assert told == {number: {**row, "finalist": None} for number, row in before[latent].items()}
        assert [number for number, row in rows.items() if row["finalist"]] == [chosen[latent]]


def test_last_nights_verdicts_are_reused(nights: Nights) -> None:
    first = nights.night()
    asked = len([one for one in nights.judge.asked if one.kind != "generate"])
    second = nights.night(first)
    assert [one for one in nights.judge.asked if one.kind != "generate"] == []
    assert 0 < second["scores"].metrics["reused"] <= asked
    assert second["scores"].metrics["judge_masked_auc"] == first["scores"].metrics["judge_masked_auc"] is not None
    values = [
        {
            (row["concept"], row["item_idx"]): row["value"]
            for row in night["scores"].read_table("verdicts.parquet").to_pylist()
        }
        for night in (first, second)
    ]
    assert values[1].items() <= values[0].items()


def test_the_sample_follows_the_stable_ids(nights: Nights) -> None:
    config = nights.config.model_copy(update={"labels": nights.config.labels.model_copy(update={"latents": 2})})
    first = nights.night(config=config)
    ids = [f"c-{(latent + 1) % N_CONCEPTS}" for latent in range(N_CONCEPTS)]
    second = nights.night(first, config=config, stable_ids=ids)
    assert len(table(first)) == 2
    assert {row["stable_id"] for row in table(second)} == {row["stable_id"] for row in table(first)}


def test_latents_whose_items_changed_are_labelled_again(nights: Nights) -> None:
    first = nights.night()
    second = nights.night(first, moved=1)
    assert second["labels"].metrics["carried"] == 0 and nights.pool.asked
    assert all(row["jaccard"] == 0 and not row["carried"] for row in table(second))


def test_labels_follow_the_stable_id_and_not_the_number(nights: Nights) -> None:
    first = nights.night()
    swapped = ["c-1", "c-0", "c-2", "new-3"]
    second = nights.night(first, stable_ids=swapped)
    rows = table(second)
    # Latents 0 and 1 have swapped ids, so each is compared with the other's items; 3 is new.
    assert [row["carried"] for row in rows] == [False, False, True, False]
    assert rows[3]["jaccard"] is None and rows[0]["jaccard"] == 0
    assert {row.prompt for row in nights.pool.asked if row.kind == "generate"} and second["labels"].metrics[
        "carried"
    ] == 1


def test_another_model_or_setting_labels_every_latent_again(nights: Nights) -> None:
    first = nights.night()
    other = nights.config.model_copy(
        update={"labels": nights.config.labels.model_copy(update={"finalists_per_ranking": 1})}
    )
    assert nights.night(first, other)["labels"].metrics["carried"] == 0
    manifest = {**first["labels"].manifest, "content": {"model": "another"}}
    changed = {**first, "labels": Committed(first["labels"].folder, manifest)}
    assert nights.night(changed)["labels"].metrics["carried"] == 0


def test_items_are_compared_with_those_of_the_night_that_named_the_latent(nights: Nights) -> None:
    """Otherwise a concept could drift away from its name, a little every night."""
    first = nights.night()
    second = nights.night(first)
    items = [row["items"] for row in table(second)]
    assert items == [row["items"] for row in table(first)]


def test_labels_with_terms_missing_from_the_catalogue_are_not_reused(nights: Nights, commit: Commit) -> None:
    first = nights.night()
    import pyarrow as pa

    from recsae.schemas.concepts import LABELS

    rows = first["labels"].read_table("labels.parquet").to_pylist()
    for row in rows:
        row["terms"] = ["Nowhere"] if row["latent"] == 2 and row["terms"] else row["terms"]

    def write(out: Attempt) -> Metrics:
        out.write_table("labels.parquet", pa.Table.from_pylist(rows, LABELS), LABELS)
        out.data.put(LABELLED, first["labels"].data.open_input(LABELLED).read())
        return first["labels"].metrics

    made = commit("labels", write)
    manifest = {**first["labels"].manifest, **made.manifest, "config": first["labels"].manifest["config"]}
    manifest["content"] = first["labels"].manifest["content"]
    second = nights.night({**first, "labels": Committed(made.folder, manifest)})
    assert [row["carried"] for row in table(second)] == [True, True, False, True]


def test_jaccard_compares_sets() -> None:
    assert jaccard(["a", "b", "b"], ["b", "c"]) == pytest.approx(1 / 3)
    assert jaccard([], []) == 0.0
