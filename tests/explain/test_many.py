"""Explanations of many users: rows, names, sums, the users explained, and a file that is complete or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from recsae.config.schema import Config
from recsae.data.chunks import chunk_of, n_chunks, read_chunk
from recsae.explain import many
from recsae.explain.explainer import Explanations
from recsae.explain.many import ExplanationRequest, Names, rows, strongest, write_explanations
from recsae.sae import model
from recsae.schemas.concepts import CONCEPTS
from recsae.schemas.steering import EXPLANATIONS
from recsae.steering.user_batches import batches, user_ids
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed
from tests.activations.committed import trained
from tests.concepts.worlds import term
from tests.conftest import committing
from tests.report.concepts_table import concept_row, concepts_table
from tests.sae.fake_ray import FakeRay, without_ray

LATENTS = 64


@pytest.fixture(scope="module")
def asked(ingested: Committed, planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> ExplanationRequest:
    """A recommender and an SAE with random weights; every third latent has a name, every sixth passes the bar."""
    folder = tmp_path_factory.mktemp("explained")
    commit = committing(folder)
    torch.manual_seed(0)
    model.save(Folder(str(folder / "sae")), model.Sae(16, LATENTS, "topk", 6))
    said = term("Comedy").to_json()
    rows = [concept_row(n, interpretable=n % 2 == 1, statement=said) for n in range(0, LATENTS, 3)]
    table = concepts_table(rows)

    def write(out: many.Any) -> dict[str, many.Any]:
        out.write_table("concepts.parquet", table, CONCEPTS)
        return {}

    sae = Folder(str(folder / "sae"))
    names = Names.read(commit("concepts", write), sae)
    return ExplanationRequest(ingested, trained(commit, planted_config.recommender, ingested), sae, "user", names, 4, 0)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    monkeypatch.setattr(many, "USERS_A_TASK", 7)
    return without_ray(monkeypatch)


def explanations(asked: ExplanationRequest, number: int = 0) -> tuple[Explanations, pa.Table, np.ndarray]:
    explainer, ids = asked.explainer(), user_ids(asked.ingested)
    present = next(batches(read_chunk(asked.ingested, number), None, explainer.model))
    found = explainer(present)
    item_ids = asked.ingested.read_table("items.parquet", ["item_id"])["item_id"]
    return found, rows(found, asked, ids[present.user_B], item_ids), ids


def test_rows_list_the_strongest_latents_and_add_up(asked: ExplanationRequest) -> None:
    found, table, ids = explanations(asked)
    item_ids = asked.ingested.read_table("items.parquet", ["item_id"])["item_id"].to_pylist()
    made = iter(table.to_pylist())
    for user, item_T, latent_TK, own_TK in zip(
        found.user_B, found.item_BT, found.latent_BTK, found.own.contribution_BTK, strict=True
    ):
        for rank, (item, latent_K, own_K) in enumerate(zip(item_T, latent_TK, own_TK, strict=True), 1):
            row = next(made)
            assert (row["user_id"], row["rank"], row["item_id"]) == (ids[user], rank, item_ids[item])
            by_size = sorted(zip(latent_K, own_K, strict=True), key=lambda pair: -abs(pair[1]))[:4]
            assert row["latents"] == [latent for latent, _ in by_size]
            assert row["own"] == [size for _, size in by_size]
            names = [f"recommends concept {n}" if n % 6 == 3 else None for n in row["latents"]]
            assert row["names"] == names
            assert row["listed"] == pytest.approx(sum(row["contributions"]))
            parts = sum(row[name] for name in ("listed", "others", "bias", "error", "rest"))
            assert row["score"] == pytest.approx(parts, abs=1e-9) and row["exact"] and row["others"] != 0
            own = sum(row[name] for name in ("everyone", "own_named", "own_unnamed", "own_error", "own_rest"))
            assert row["score"] - row["average_score"] == pytest.approx(own, abs=1e-9)
            assert row["everyone"] != 0 and row["own_named"] != 0 and row["own_unnamed"] != 0
    assert next(made, None) is None


def test_missing_items_have_no_row_and_padding_is_not_listed(asked: ExplanationRequest) -> None:
    found, whole, ids = explanations(asked)
    item_BT, latent_BTK = found.item_BT.copy(), found.latent_BTK.copy()
    item_BT[1, 3:] = -1
    latent_BTK[:, :, 2:] = -1
    few = found._replace(item_BT=item_BT, latent_BTK=latent_BTK)
    assert (strongest(few, 4)[:, :, 2:] == -1).all() and (strongest(few, 4)[:, :, :2] >= 0).all()
    item_ids = asked.ingested.read_table("items.parquet", ["item_id"])["item_id"]
    table = rows(few, asked, ids[few.user_B], item_ids)
    assert table.num_rows == whole.num_rows - 7
    assert all(len(listed) == 2 for name in ("latents", "names", "beyond") for listed in table[name].to_pylist())


def test_names_of_all_latents_of_the_sae(asked: ExplanationRequest) -> None:
    reasons = asked.names.reason_H
    assert len(reasons) == LATENTS and reasons[6] is None and reasons[7] is None
    assert reasons[LATENTS - 1] == "recommends concept 63"
    assert np.flatnonzero(asked.names.named_H).tolist() == list(range(3, LATENTS, 6))


def test_the_chunk_of_each_user(ingested: Committed) -> None:
    for number in range(n_chunks(ingested)):
        assert set(chunk_of(ingested, read_chunk(ingested, number).users)) == {number}


def test_all_users_or_some(asked: ExplanationRequest, fake: FakeRay, tmp_path: Path) -> None:
    folder, ids = Folder(str(tmp_path)), user_ids(asked.ingested)
    assert write_explanations(asked, None, folder, "all.parquet") == 10 * len(ids)
    whole = pq.read_table(tmp_path / "all.parquet")
    assert whole.schema.names == EXPLANATIONS.names and whole.schema.metadata == EXPLANATIONS.metadata
    assert whole["user_id"].to_pylist() == np.repeat(ids, 10).tolist()
    assert write_explanations(asked, np.array([97, 3, 3, 40]), folder, "some.parquet") == 30
    some = pq.read_table(tmp_path / "some.parquet")
    assert some["user_id"].to_pylist() == np.repeat(ids[[3, 40, 97]], 10).tolist()
    wanted = pa.compute.is_in(whole["user_id"], pa.array(ids[[3, 40, 97]]))
    same = whole.filter(wanted).select(["user_id", "rank", "item_id", "latents", "names"])
    assert same.equals(some.select(same.column_names))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.parquet", "some.parquet"]


def test_a_failure_on_the_way_leaves_no_file(
    asked: ExplanationRequest, fake: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain_users = many.explain_users

    def fails(asked: ExplanationRequest, users: np.ndarray, ids: np.ndarray) -> pa.Table:
        if users[0] > 50:
            raise RuntimeError
        return explain_users(asked, users, ids)

    monkeypatch.setattr(many, "explain_users", fails)
    with pytest.raises(RuntimeError):
        write_explanations(asked, None, Folder(str(tmp_path)), "all.parquet")
    assert list(tmp_path.iterdir()) == []
