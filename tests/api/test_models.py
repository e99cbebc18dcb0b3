"""A run with a recommender, an SAE and shards: what it explains, recommends and steers, without a command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsae import BadInput, Run, SteeredRecommender, load_recommender, load_sae
from recsae.api import recommending
from recsae.lookup.served import Served
from recsae.policies import policy
from recsae.policies.policy import Policy
from recsae.schemas.base import PARTS
from recsae.schemas.concepts import CONCEPTS
from recsae.schemas.steering import EXPLANATIONS, RECOMMENDATIONS
from recsae.store.filesystem import Folder
from recsae.store.run_store import Attempt, Metrics, RunStore
from recsae.store.shards import vectors
from tests.policies import biased
from tests.report.concepts_table import concept_row, concepts_table
from tests.sae.fake_ray import without_ray

WESTERN = biased.CONCEPTS.index("Western")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The planted bias with its dictionary, as a served night."""
    folder = tmp_path_factory.mktemp("biased")
    settings, made, commit = biased.line(folder, 240)
    assert made.dictionary is not None
    rows = [concept_row(**row) for row in made.dictionary.rows]

    def concepts(out: Attempt) -> Metrics:
        out.write_table("concepts.parquet", concepts_table(rows), CONCEPTS)
        return {}

    stages = {
        "ingest": made.ingested,
        "recommender": made.recommender,
        "activations": made.activations,
        "sae": made.sae,
        "concepts": commit("concepts", concepts),
    }
    return Run(Served(RunStore(str(folder / "store"), "test"), {"night": "1"}, stages), settings)


@pytest.fixture(autouse=True)
def _in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    monkeypatch.setattr(recommending, "start_ray", lambda config: None)


def westerns(run: Run, ids: list[str]) -> int:
    return sum(int(one.removeprefix("item-")) % len(biased.CONCEPTS) == WESTERN for one in ids)


def test_models_are_loaded_by_the_run_alone(run: Run) -> None:
    recommender, sae = load_recommender(run), load_sae(run)
    assert recommender.site == "user" and recommender.width == sae.width == biased.WIDTH
    assert not recommender.training and not any(one.requires_grad for one in recommender.parameters())


def test_an_explanation_adds_up_to_the_score(run: Run) -> None:
    found = run.explain("user-1", k=3, concepts=2)
    assert list(found.columns) == [name for name in EXPLANATIONS.names for name in _with_title(name)]
    assert found["rank"].tolist() == [1, 2, 3] and all(len(listed) <= 2 for listed in found["latents"])
    np.testing.assert_allclose(found["listed"] + found["others"] + found["bias"] + found["error"], found["score"])
    one = run.explain("user-1", found["title"][1])
    assert one["item_id"].tolist() == [found["item_id"][1]] and one["rank"].tolist() == [2]
    recommended = run.recommend(["user-1"], 3)
    assert recommended["item_id"].tolist() == found["item_id"].tolist()
    np.testing.assert_allclose(recommended["score"], found["score"], rtol=1e-6)
    with pytest.raises(BadInput, match="k = 0: give at least 1"):
        run.explain("user-1", k=0)


def test_recommendations_are_of_the_users_that_are_named_or_of_all(run: Run) -> None:
    found = run.recommend(["user-7", "user-1"], 2)
    assert list(found.columns) == RECOMMENDATIONS.names
    assert sorted(set(found["user_id"])) == ["user-1", "user-7"] and found["rank"].tolist() == [1, 2, 1, 2]
    everybody = run.recommend(k=2)
    assert everybody["user_id"].nunique() == 240
    assert run.recommend([]).empty and list(run.recommend([]).columns) == RECOMMENDATIONS.names
    with pytest.raises(BadInput, match="users: user nobody is none of the 240 users"):
        run.recommend(["nobody"])


def test_more_of_a_concept_is_recommended_on_the_fly_and_by_the_policy_alike(run: Run, tmp_path: Path) -> None:
    users = [f"user-{number}" for number in range(60)]
    plain, more = run.recommend(users), run.recommend(users, more={"western": 1.5})
    assert westerns(run, more["item_id"].tolist()) > 1.2 * westerns(run, plain["item_id"].tolist()) > 0
    made = run.policy(more={"western": 1.5})
    assert made is run.policy(more={"western": 1.5}) and [one.latent for one in made.operations] == [WESTERN]
    policy.write(made, Folder(str(tmp_path)), "policy.json")
    for given in (made, str(tmp_path / "policy.json"), tmp_path / "policy.json"):
        assert run.recommend(users, policy=given).equals(more)
    less = run.recommend(users, less={"Western": 2})
    assert westerns(run, less["item_id"].tolist()) < westerns(run, plain["item_id"].tolist())


def test_a_steered_recommender_follows_the_policy(run: Run) -> None:
    steered = run.steered(run.policy(more={"western": 1.5}))
    assert isinstance(steered, SteeredRecommender) and steered.steering.operations[0].latent == WESTERN


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"Western": 1}, r"more = \{'Western': 1\}: give a finite number above 1"),
        ({"Westren": 2}, "more Westren: no latent of the dictionary has that concept; the nearest are Western"),
        ({}, "give one with its factor"),
    ],
)
def test_what_no_policy_can_do_is_refused(run: Run, more: dict[str, float], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        run.policy(more)


def test_a_policy_of_another_sae_is_refused(run: Run) -> None:
    other = run.policy(more={"western": 1.5}).model_dump() | {
        "made_for": {"recommender": "f1", "sae": "another", "site": "user"}
    }
    for use in (run.steered, lambda given: run.recommend(["user-1"], policy=given)):
        with pytest.raises(BadInput, match="policy of run biased: made for another SAE"):
            use(Policy.model_validate(other))


def test_activations_come_in_batches_by_part_and_column(run: Run) -> None:
    batches = list(run.activations())
    assert vectors(batches[0]).shape[1] == biased.WIDTH
    rows = sum(batch.num_rows for batch in batches)
    by_part = [list(run.activations(part, ["case_id", "part"])) for part in PARTS]
    assert sum(batch.num_rows for some in by_part for batch in some) == rows > 0
    for code, some in enumerate(by_part):
        assert all(batch.schema.names == ["case_id", "part"] for batch in some)
        assert {value for batch in some for value in batch.column("part").to_pylist()} == {code}


def _with_title(name: str) -> list[str]:
    return [name, "title"] if name == "item_id" else [name]
