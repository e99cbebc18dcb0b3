"""Recommendations of chunks: unseen, in order, clean for those whom no policy is for, with the model's own scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsae.config.schema import Config
from recsae.data.chunks import n_chunks, read_chunk
from recsae.policies.build import PolicyInputs
from recsae.recommenders import topk
from recsae.recommenders.base import last_position
from recsae.recommenders.ranking import pad
from recsae.schemas.steering import RECOMMENDATIONS
from recsae.steering.operations import Operation, Steering
from recsae.steering.recommending import RecommendationRequest, of_chunk, scores_of
from recsae.steering.steered import SteeredRecommender
from tests.policies import biased
from tests.recommenders.test_ranking import LastItem

OPERATIONS = (Operation(2, "add", 1.0), Operation(0, "ablate"))


@pytest.fixture(scope="module")
def planted_line(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, PolicyInputs]:
    settings, made, _ = biased.line(tmp_path_factory.mktemp("biased"), 40)
    return settings, made


@pytest.fixture(scope="module")
def settings(planted_line: tuple[Config, PolicyInputs]) -> Config:
    return planted_line[0]


@pytest.fixture(scope="module")
def made(planted_line: tuple[Config, PolicyInputs]) -> PolicyInputs:
    return planted_line[1]


def asked(settings: Config, made: PolicyInputs, **changed: object) -> RecommendationRequest:
    world = made.eval_data(settings)
    whole = RecommendationRequest(made.ingested, made.recommender, world.site, 5, None, world.sae, (), None)
    return whole._replace(**changed)


def expected(
    settings: Config, made: PolicyInputs, operations: tuple[Operation, ...]
) -> dict[str, list[tuple[str, float]]]:
    """By user id, from all scores of one user at a time."""
    world = made.eval_data(settings)
    model = SteeredRecommender(world.model(), Steering(world.load_sae(), operations))
    ids = made.ingested.read_table("items.parquet", ["item_id"])["item_id"].to_pylist()
    users = made.ingested.read_table("users.parquet", ["user_id"])["user_id"].to_pylist()
    found = {}
    for number in range(n_chunks(made.ingested)):
        chunk = read_chunk(made.ingested, number)
        for place, user in enumerate(chunk.users):
            seen = chunk.items[chunk.offsets[place] : chunk.offsets[place + 1]]
            histories = pad([seen[-model.max_length :]], "cpu", chunk.users[place : place + 1])
            with torch.inference_mode():
                u_BU = last_position(model.proceed(model.probe(histories), histories), histories)
                score = model.scores(u_BU.expand(4, -1), 0, model.n_items)[0].numpy().copy()
            score[seen] = -np.inf
            order = np.argsort(-score, kind="stable")[:5]
            found[users[user]] = [(ids[item], float(score[item])) for item in order]
    return found


def rows(found: object) -> dict[str, list[tuple[str, float]]]:
    by_user: dict[str, list[tuple[str, float]]] = {}
    for row in found.table.to_pylist():  # type: ignore[attr-defined]
        held = by_user.setdefault(row["user_id"], [])
        held.append((row["item_id"], row["score"]))
        assert row["rank"] == len(held) and row["title"].startswith("Film ")
    return by_user


def alike(mine: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> bool:
    return [item for item, _ in mine] == [item for item, _ in theirs] and np.allclose(
        [score for _, score in mine], [score for _, score in theirs], atol=1e-5
    )


def test_each_user_gets_the_best_of_what_he_has_not_had(settings: Config, made: PolicyInputs) -> None:
    wanted = expected(settings, made, ())
    got: dict[str, list[tuple[str, float]]] = {}
    for number in range(n_chunks(made.ingested)):
        found = of_chunk(asked(settings, made), number)
        assert found.table.schema.equals(RECOMMENDATIONS, check_metadata=True) and found.steered == 0
        got |= rows(found)
    assert list(got) == list(wanted) and all(alike(got[user], wanted[user]) for user in wanted)


def test_a_policy_for_some_leaves_the_others_clean(settings: Config, made: PolicyInputs) -> None:
    clean, steered = expected(settings, made, ()), expected(settings, made, OPERATIONS)
    users = made.ingested.read_table("users.parquet", ["user_id"])["user_id"].to_pylist()
    chosen = np.array([3, 4, 17])
    question = asked(settings, made, operations=OPERATIONS, steered=chosen)
    count = 0
    for number in range(n_chunks(made.ingested)):
        found = of_chunk(question, number)
        count += found.steered
        for user, held in rows(found).items():
            assert alike(held, (steered if users.index(user) in chosen else clean)[user])
    assert count == 3 and any(clean[users[user]] != steered[users[user]] for user in chosen)
    everybody = of_chunk(asked(settings, made, operations=OPERATIONS), 0)
    assert everybody.steered == everybody.users
    assert all(alike(held, steered[user]) for user, held in rows(everybody).items())


def test_only_who_is_asked_for_has_rows(settings: Config, made: PolicyInputs) -> None:
    wanted = np.array([2, 39])
    found = [of_chunk(asked(settings, made, wanted=wanted), number) for number in range(n_chunks(made.ingested))]
    assert sum(one.users for one in found) == 2 and sum(one.table.num_rows for one in found) == 10
    assert of_chunk(asked(settings, made, wanted=np.zeros(0, int)), 0).table.num_rows == 0


def test_where_little_is_left_there_are_fewer_rows(settings: Config, made: PolicyInputs) -> None:
    found = of_chunk(asked(settings, made, k=int(made.ingested.metrics["items"])), 0)
    chunk = read_chunk(made.ingested, 0)
    unseen = made.ingested.metrics["items"] - len(np.unique(chunk.items[: chunk.offsets[1]]))
    first = found.table["user_id"][0].as_py()
    assert found.table["user_id"].to_pylist().count(first) == unseen
    assert not np.isnan(found.table["score"].to_numpy()).any()


@pytest.mark.parametrize("at_once", [4_000_000, 70])
def test_scores_are_read_block_by_block(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topk, "SCORES_PER_BLOCK", at_once)
    model = LastItem(1000)
    u_BU = torch.nn.functional.one_hot(torch.tensor([4, 7, 4]), model.width).float()
    item_Bk = np.array([[0, 79, -1], [5, -1, 78], [1, 2, 3]])
    found = scores_of(model, u_BU, item_Bk)
    whole = (u_BU @ model.table).numpy()
    known = item_Bk >= 0
    assert (found[known] == np.take_along_axis(whole, item_Bk.clip(0), 1)[known]).all()
    assert np.isnan(found[~known]).all()
