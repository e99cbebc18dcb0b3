"""Users in the report are score users drawn by the seed, and what is told of each of their items adds up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recsae.config.schema import Config
from recsae.report.rows import users as module
from recsae.report.rows.users import user_rows
from recsae.report.tables import Titles
from recsae.sae import model
from recsae.schemas.concepts import CONCEPTS
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.activations.committed import trained
from tests.conftest import committing
from tests.report.concepts_table import concept_row, concepts_table


@pytest.fixture(scope="module")
def run(ingested: Committed, planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Committed]:
    """A recommender and an SAE with random weights."""
    commit = committing(tmp_path_factory.mktemp("users"))
    torch.manual_seed(0)

    def write_sae(out: Attempt) -> Metrics:
        model.save(out.data.child("model"), model.Sae(16, 64, "topk", 6))
        return {}

    def write_concepts(out: Attempt) -> Metrics:
        out.write_table("concepts.parquet", concepts_table([concept_row(latent) for latent in range(64)]), CONCEPTS)
        return {}

    recommender = trained(commit, planted_config.recommender, ingested)
    return {
        "ingest": ingested,
        "recommender": recommender,
        "sae": commit("sae", write_sae),
        "concepts": commit("concepts", write_concepts),
    }


def test_score_users_whose_items_add_up(
    run: dict[str, Committed], planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "USERS", 5)
    titles = Titles()
    users = user_rows(planted_config, run, titles)
    table = run["ingest"].read_table("users.parquet", ["user_id", "part", "events"]).to_pylist()
    known = {row["user_id"]: row for row in table}
    assert len({user["id"] for user in users}) == 5
    for user in users:
        assert known[user["id"]]["part"] == "score" and known[user["id"]]["events"] == user["events"]
        assert len(user["history"]) == min(user["events"], module.HISTORY)
        assert len(user["items"]) == 10 and len(user["active"]) <= 6
        strengths = [activation for _, activation in user["active"]]
        assert strengths == sorted(strengths, reverse=True)
        ids = titles.as_json()["ids"]
        assert not {ids[item] for item, *_ in user["items"]} & {ids[item] for item in user["history"]}
        for _, score, average, listed, others, left, everyone in user["items"]:
            assert sum(listed[1::2]) + others + left + everyone == pytest.approx(score - average, abs=0.02)
        assert sum(user["carried"]) == pytest.approx(1, abs=0.02) and user["carried"][0] == 0
    assert user_rows(planted_config, run, Titles()) == users


def test_without_a_model_there_are_no_users(run: dict[str, Committed], tmp_path: Path) -> None:
    probe = {"activations": ["a.parquet"], "cases": "c.parquet"}
    given = Config.model_validate({"name": "demo", "recommender": {"kind": "given"}, "probe": probe})
    assert user_rows(given, run, Titles()) == []
