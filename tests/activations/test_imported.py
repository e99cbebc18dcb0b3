"""Imported activations give the same shards as our own in any format; unusable ones are refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from recsae.activations import imported_vectors
from recsae.activations.imported_sources import imported_content
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.store import shards
from recsae.store.run_store import Committed
from tests.activations.committed import probe_config, probed, trained, whole
from tests.activations.handed_in import config_of, refusal, small, taken
from tests.conftest import Commit

WIDTH = 16


def ours(commit: Commit, ingested: Committed, config: Config) -> pa.Table:
    """What our own probing writes."""
    return whole(probed(commit, ingested, trained(commit, config.recommender, ingested), probe_config())[0])


def as_given(table: pa.Table, ingested: Committed) -> tuple[pa.Table, pa.Table]:
    """The same as somebody else would hand it in: activations, and cases in another order."""
    users = ingested.read_table("users.parquet")["user_id"]
    items = ingested.read_table("items.parquet")["item_id"]
    cases = pa.table(
        {
            "case_id": table["case_id"],
            "user_id": users.take(table["user_idx"]),
            "item_id": items.take(table["item_idx"]),
            "top_item_id": items.take(table["top_idx"]),
            "position": table["position"],
            "note": pa.nulls(table.num_rows),
        }
    )
    order = np.random.default_rng(0).permutation(table.num_rows)
    return table.select(["case_id", "activation"]), cases.take(order)


def write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=100)


def write_wide_parquet(table: pa.Table, path: Path) -> None:
    """Float64 in lists of any length, as pandas writes vectors."""
    pq.write_table(table.set_column(1, "activation", table["activation"].cast(pa.list_(pa.float64()))), path)


def write_arrow_file(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def write_arrow_stream(table: pa.Table, path: Path) -> None:
    large = table.set_column(1, "activation", table["activation"].cast(pa.large_list(pa.float32())))
    with pa.ipc.new_stream(path, large.schema) as writer:
        writer.write_table(large, max_chunksize=70)


Write = Callable[[pa.Table, Path], None]
WRITERS: list[Write] = [write_parquet, write_wide_parquet, write_arrow_file, write_arrow_stream]


@pytest.mark.parametrize("write", WRITERS)
def test_what_we_wrote_comes_back(
    commit: Commit,
    ingested: Committed,
    planted_config: Config,
    tmp_path: Path,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imported_vectors, "ROWS_PER_BATCH", 64)
    table = ours(commit, ingested, planted_config)
    activations, cases = as_given(table, ingested)
    half = activations.num_rows // 2
    write(activations.slice(0, half), tmp_path / "a")
    write(activations.slice(half), tmp_path / "b")
    pq.write_table(cases, tmp_path / "cases.parquet")
    stored = taken(commit, ingested, config_of(tmp_path, ["a", "b"], "cases.parquet"))
    assert whole(stored).equals(table)
    assert whole(stored).schema.equals(table.schema, check_metadata=True)
    assert {name: stored.metrics[name] for name in ("cases", "width", "site", "shards")} == {
        "cases": table.num_rows,
        "width": WIDTH,
        "site": "user",
        "shards": 1,
    }
    assert sum(stored.metrics["cases_by_part"].values()) == table.num_rows


def test_without_top_items_and_positions(
    commit: Commit, ingested: Committed, planted_config: Config, tmp_path: Path
) -> None:
    table = ours(commit, ingested, planted_config)
    activations, cases = as_given(table, ingested)
    write_parquet(activations, tmp_path / "a")
    pyarrow.csv.write_csv(cases.select(["item_id", "user_id", "case_id"]), tmp_path / "cases.csv")
    config = config_of(tmp_path, ["a"], "cases.csv", view="input", site="encoder.2")
    found = whole(taken(commit, ingested, config))
    assert found["top_idx"].null_count == found.num_rows
    assert set(found["position"].to_pylist()) == {0}
    for name in ("case_id", "user_idx", "item_idx", "part", "activation"):
        assert found[name].equals(table[name]), name
    assert found.schema.metadata[b"recsae.site"] == b"encoder.2"


def test_shards_are_cut_by_size(
    commit: Commit, ingested: Committed, planted_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("imported", "shard_writer"):
        monkeypatch.setattr(f"recsae.activations.{module}.rows_per_shard", lambda *_: 300)
    monkeypatch.setattr(imported_vectors, "ROWS_PER_BATCH", 50)
    table = ours(commit, ingested, planted_config)
    activations, cases = as_given(table, ingested)
    write_arrow_file(activations, tmp_path / "a")
    pq.write_table(cases, tmp_path / "cases.parquet")
    stored = taken(commit, ingested, config_of(tmp_path, ["a"], "cases.parquet"))
    sizes = [part.num_rows for part in shards.stream(stored)]
    assert sizes[:-1] == [300] * (len(sizes) - 1) and len(sizes) > 2 and 0 < sizes[-1] <= 300
    assert whole(stored).equals(table)


def test_the_content_of_the_files_is_in_the_fingerprint(planted_config: Config, tmp_path: Path) -> None:
    config = config_of(tmp_path, ["a"], "cases.csv")
    with pytest.raises(BadInput, match=r"probe\.activations: no such file .*a; give one"):
        imported_content(config)
    (tmp_path / "a").write_text("1")
    with pytest.raises(BadInput, match=r"probe\.cases: no such file .*cases\.csv; give one"):
        imported_content(config)
    (tmp_path / "cases.csv").write_text("2")
    before = imported_content(config)
    assert list(before) == [str(tmp_path / "a"), str(tmp_path / "cases.csv")]
    (tmp_path / "a").write_text("3")
    assert imported_content(config) != before
    assert imported_content(planted_config) == {}


def test_every_case_has_one_activation_and_every_activation_a_case(
    commit: Commit, ingested: Committed, tmp_path: Path
) -> None:
    said = refusal(commit, ingested, tmp_path, lambda vectors: vectors.slice(0, 7))
    assert "c.parquet: row 8: the case_id 17 has no activation in probe.activations (such cases: 2 of 9); " in said
    said = refusal(commit, ingested, tmp_path, of_cases=lambda cases: cases.slice(2))
    assert "v: row 1: the case_id 10 is not in " in said and "(activations without a case: 2); add the cases" in said
    vectors, cases = small(ingested)
    pq.write_table(vectors, tmp_path / "v")
    pq.write_table(vectors.slice(4, 2), tmp_path / "w")
    pq.write_table(cases, tmp_path / "c.parquet")
    with pytest.raises(BadInput, match=r"w: row 1 has the case_id 14 of row 5 of .*v; keep one of them"):
        taken(commit, ingested, config_of(tmp_path, ["v", "w"], "c.parquet"))


def test_every_part_needs_a_case(commit: Commit, ingested: Committed, tmp_path: Path) -> None:
    said = refusal(commit, ingested, tmp_path, lambda vectors: vectors.slice(0, 1), lambda cases: cases.slice(0, 1))
    assert said.startswith("the part ") and said.endswith(" has no cases (of 1); give more users or another seed")


def test_good_small_tables_are_taken(commit: Commit, ingested: Committed, tmp_path: Path) -> None:
    vectors, cases = small(ingested)
    pq.write_table(vectors, tmp_path / "v")
    pq.write_table(cases, tmp_path / "c.parquet")
    stored = taken(commit, ingested, config_of(tmp_path, ["v"], "c.parquet"))
    assert stored.metrics["cases_by_part"] == {"explain": 3, "select": 3, "score": 3}
