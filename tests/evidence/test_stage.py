"""The pass over shards: the same tables for any order of tasks and any layout of shards. Ray's tasks run in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.distributed import tasks
from recsae.evidence import case_selection, negatives, stage, top_per_group
from recsae.evidence.sketch import sketch_table
from recsae.evidence.stage import gather_evidence
from recsae.sae import model
from recsae.schemas.base import ITEMS, activations
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.concepts.streams import N_ITEMS, SMALL, WIDTH, popularity, stream
from tests.conftest import Commit
from tests.sae.fake_ray import Task

STREAM = stream(users=120)
TABLES = ("evidence", "latent_stats", "latent_items", "item_latents")


class RacingRay:
    """Tasks run when they are submitted; the order in which they become ready is random."""

    def __init__(self, seed: int, cores: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.cores, self.most = cores, 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cores}

    def wait(self, waiting: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(waiting))
        if self.draw.random() < 0.2:
            return [], waiting
        place = int(self.draw.integers(len(waiting)))
        return [waiting[place]], waiting[:place] + waiting[place + 1 :]

    def get(self, one: Any) -> Any:
        return one


@pytest.fixture(autouse=True)
def ray(monkeypatch: pytest.MonkeyPatch) -> RacingRay:
    racing = RacingRay(0, 5)
    monkeypatch.setattr(stage, "ray", racing)
    monkeypatch.setattr(tasks, "_call", Task(tasks._call._function))
    return racing


@pytest.fixture
def ingested(commit: Commit) -> Committed:
    def write(out: Attempt) -> Metrics:
        rows = [
            {
                "item_idx": item, "item_id": str(item), "title": "", "popularity": int(popularity()[item]),
                "attributes": [{"name": "genres", "value": f"genre {item % 5}"}],
            }
            for item in range(N_ITEMS)
        ]  # fmt: skip
        out.write_table("items.parquet", pa.Table.from_pylist(rows, ITEMS), ITEMS)
        return {}

    return commit("ingest", write)


@pytest.fixture
def sae(commit: Commit) -> Committed:
    def write(out: Attempt) -> Metrics:
        model.save(out.data.child("model"), STREAM.sae)
        return {}

    return commit("sae", write)


def shards_of(commit: Commit, table: pa.Table, seed: int, count: int, batch: int) -> Committed:
    """Cases in random order, in shards of random sizes and batches of so many cases."""
    draw = np.random.default_rng(seed)
    table = table.take(draw.permutation(table.num_rows))
    edges = np.sort(draw.choice(np.arange(1, table.num_rows), count - 1, replace=False))

    def write(out: Attempt) -> Metrics:
        for number, (start, stop) in enumerate(zip([0, *edges], [*edges, table.num_rows], strict=True)):
            name = out.data, f"{shards.PREFIX}{number:03d}.arrow"
            batches = table.slice(start, stop - start).combine_chunks().to_batches(max_chunksize=batch)
            shards.write(*name, pa.Table.from_batches(batches), activations(WIDTH))
        return {"cases": table.num_rows}

    return commit("activations", write)


def config(view: str) -> Config:
    return Config.model_validate({"name": "test", "seed": 7, "probe": {"view": view}}).model_copy(
        update={"evidence": SMALL}
    )


def gathered(commit: Commit, inputs: dict[str, Committed], view: str = "recommended") -> dict[str, pa.Table]:
    done = commit("evidence", lambda out: gather_evidence(config(view), inputs, out))
    assert sorted(done.files()) == sorted(f"{name}.parquet" for name in TABLES)
    return {name: done.read_table(f"{name}.parquet") for name in TABLES}


@pytest.mark.parametrize("view", ["recommended", "input"])
def test_one_shard_is_the_stream(commit: Commit, ingested: Committed, sae: Committed, view: str) -> None:
    inputs = {"ingest": ingested, "sae": sae, "activations": shards_of(commit, STREAM.table, 0, 1, 10**6)}
    found = gathered(commit, inputs, view)
    catalogue = Catalogue.read(ingested)
    sketch = sketch_table(STREAM.table, STREAM.sae, SMALL, 7)
    nearest_HN = negatives.nearest(STREAM.sae.W_dec.detach().numpy(), np.flatnonzero(sketch.fired_H))
    bears = terms.build(catalogue).item_terms
    expected = case_selection.select_cases(sketch, catalogue.popularity, bears, view, SMALL, 7, nearest_HN)
    assert found["evidence"].equals(expected.cases) and found["latent_stats"].equals(expected.stats)
    assert set(found["evidence"]["role"].to_pylist()) >= {"near_miss", "near_direction"}

    table, items = found["latent_items"].to_pandas(), "top_idx" if view == "recommended" else "item_idx"
    for row in table.itertuples():
        cases = [case for case in STREAM.cases if case.part == 0 and getattr(case, items) == row.item_idx]
        assert row.activations == sum(row.latent in case.active for case in cases)
        # Pre-activations are whole numbers of 64ths, so that sums are exact.
        assert row.strength == sum(case.active.get(row.latent, 0.0) for case in cases)


@pytest.mark.parametrize(("seed", "count", "batch", "cores"), [(1, 1, 7, 1), (2, 9, 10**6, 2), (3, 12, 20, 16)])
def test_the_tables_are_the_same_whoever_is_first(
    commit: Commit,
    ingested: Committed,
    sae: Committed,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    count: int,
    batch: int,
    cores: int,
) -> None:
    whole = {"ingest": ingested, "sae": sae, "activations": shards_of(commit, STREAM.table, 0, 1, 10**6)}
    first = gathered(commit, whole)
    racing = RacingRay(seed, cores)
    monkeypatch.setattr(stage, "ray", racing)
    monkeypatch.setattr(stage, "_MIN_BATCH_CASES", 30)
    monkeypatch.setattr(top_per_group, "MIN_BUFFERED_ROWS", 10)
    second = gathered(commit, {**whole, "activations": shards_of(commit, STREAM.table, seed, count, batch)})
    for name in TABLES:
        assert first[name].equals(second[name]), name
    assert racing.most <= max(stage.MIN_IN_FLIGHT, cores + 1)


def test_cases_whose_item_is_not_known_are_in_no_item_view(commit: Commit, ingested: Committed, sae: Committed) -> None:
    place = STREAM.table.schema.get_field_index("top_idx")
    half = pc.if_else(pa.array(np.arange(STREAM.table.num_rows) % 2 == 0), STREAM.table["top_idx"], None)
    table = STREAM.table.set_column(place, "top_idx", half)
    told = stage.EvidencePlan(shards_of(commit, table, 0, 1, 50), sae.data.child("model"), "recommended", SMALL, 7)
    name = told.activations.files(shards.PREFIX)[0]
    everything = stage.SketchBuilder(STREAM.sae.num_latents, SMALL, 7).limits()
    pairs = stage.sketch_shard(told, name, everything).pairs
    known = [case for case in STREAM.cases[::2] if case.part == 0]
    assert pairs.cases_I.sum() == len(known)
    assert pairs.activations_N.sum() == sum(len(case.active) for case in known)


def test_cases_whose_item_is_unknown_are_no_evidence_where_concepts_speak_of_it(
    commit: Commit, ingested: Committed, sae: Committed
) -> None:
    unknown = np.random.default_rng(2).random(STREAM.table.num_rows) < 0.4
    place = STREAM.table.schema.get_field_index("top_idx")
    top = pa.array(STREAM.table["top_idx"].to_numpy(), pa.int32(), mask=unknown)
    holed, known = STREAM.table.set_column(place, "top_idx", top), STREAM.table.filter(pa.array(~unknown))
    found, due, by_input, whole = (
        gathered(commit, {"ingest": ingested, "sae": sae, "activations": shards_of(commit, table, 0, 3, 50)}, view)
        for view, table in (("recommended", holed), ("recommended", known), ("input", holed), ("input", STREAM.table))
    )
    for name in TABLES:
        assert found[name].equals(due[name]), name
        if name != "evidence":
            assert by_input[name].equals(whole[name]), f"{name}: who looks at the input knows all cases"
