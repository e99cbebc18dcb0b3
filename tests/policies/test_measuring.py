"""Effects of an adjustment against ranks of the steered model, and the nulls."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.config.schema import Config
from recsae.data.chunks import n_chunks, read_chunk
from recsae.policies import balance, measuring
from recsae.policies.balance import ConceptShares, GroupGap
from recsae.policies.build import PolicyInputs
from recsae.policies.measuring import MeasurementPlan, describe, measure, permuted_groups, random_latents
from recsae.recommenders.ranking import rank_chunk
from recsae.steering.operations import Operation, Steering
from recsae.steering.steered import SteeredRecommender, answers
from tests.policies import biased

ABLATED = (Operation(biased.PUSHED, "ablate"),)
NULL = ((Operation(8, "ablate"),), (Operation(2, "add", 1.0),))


@pytest.fixture(scope="module")
def n_users() -> int:
    return 160


def asked(settings: Config, made: PolicyInputs, group_U: np.ndarray | None = None) -> MeasurementPlan:
    genres = made.ingested.read_table("items.parquet", ["attributes"])["attributes"].to_pylist()
    bears = np.array([[pairs[0]["value"] == concept for concept in biased.CONCEPTS] for pairs in genres])
    popularity = made.ingested.read_table("items.parquet", ["popularity"])["popularity"].to_numpy()
    spec = balance.count_spec(popularity, balance.sparse.csr_array(bears.astype(float)), group_U, 2)
    return MeasurementPlan(made.eval_data(settings), "score", spec, ((), ABLATED, *NULL), None, 100)


def test_figures_are_those_of_the_steered_model(settings: Config, made: PolicyInputs) -> None:
    question = asked(settings, made)
    found = describe(ConceptShares(biased.CONCEPTS), measure(question))
    model, sae = question.data.model(), question.data.load_sae()
    ranks: list[list[int]] = [[], []]
    tops: list[list[np.ndarray]] = [[], []]
    for number in range(n_chunks(made.ingested)):
        cases, chunk = question.data.cases(number, "score"), read_chunk(made.ingested, number)
        for place, operations in enumerate(((), ABLATED)):
            steering = Steering(sae, operations)
            ranks[place] += rank_chunk(SteeredRecommender(model, steering), chunk, cases).full_C.tolist()
            tops[place] += [one.top_BT for one in answers(model, [steering], chunk, cases)]
    for place, when in enumerate(("before", "after")):
        rank_C, items = np.array(ranks[place]), np.concatenate(tops[place]).ravel()
        gain = np.where(rank_C <= 10, 1 / np.log2(1 + rank_C), 0).mean()
        assert found["figures"]["ndcg@10"][when] == pytest.approx(gain)
        assert found["figures"]["hr@10"][when] == pytest.approx(np.mean(rank_C <= 10))
        share = question.spec.slots_IX.toarray()[items, 3 + biased.PUSHED].mean()
        assert found["figures"]["share of Horror"][when] == pytest.approx(share)
        assert found["figures"]["coverage"][when] == pytest.approx(len(np.unique(items)) / model.n_items)
        low, high = found["figures"]["ndcg@10"][f"{when}_interval"]
        assert low < gain < high
    assert found["users"] == len(ranks[0]) == made.ingested.metrics["users_by_part"]["score"]
    assert found["null"]["draws"] == 2
    assert found["figures"]["share of Horror"]["change"] < -0.5
    low, high = found["null"]["share of Western"]["interval"]
    assert low < found["null"]["share of Western"]["change"] < high


def test_changes_are_paired_by_user(settings: Config, made: PolicyInputs) -> None:
    same = asked(settings, made)._replace(variants=((), ()))
    found = describe(ConceptShares(biased.CONCEPTS), measure(same))
    for name, of in found["figures"].items():
        if name != "coverage":
            assert of["change"] == 0 and of["change_interval"] == [0.0, 0.0]
            assert of["before_interval"] == of["after_interval"]
    assert "null" not in found and "floor" not in found


def test_permuted_groups_have_the_gap_of_chance(settings: Config, made: PolicyInputs) -> None:
    from recsae.policies.audience import groups

    held = groups(made.ingested, "group", 10)
    permuted = permuted_groups(held.group_U, held.part_U, "score", 30, 0)
    question = asked(settings, made, held.group_U)._replace(permuted_RU=permuted)
    found = describe(GroupGap(), measure(question))
    assert 0 < found["floor"]["before"] < 0.7 * found["figures"]["gap"]["before"]
    again = describe(GroupGap(), measure(question._replace(permuted_RU=np.tile(held.group_U, (3, 1)))))
    assert again["floor"]["before"] == pytest.approx(found["figures"]["gap"]["before"])
    assert again["floor"]["after"] == pytest.approx(found["figures"]["gap"]["after"])


def test_permutations_keep_sizes_and_other_parts() -> None:
    group_U = np.array([0, 1, -1, 1, 0, 1, 0, 0])
    part_U = np.array(["score"] * 6 + ["select"] * 2, dtype=object)
    found = permuted_groups(group_U, part_U, "score", 50, 3)
    assert (found[:, [2, 6, 7]] == group_U[[2, 6, 7]]).all()
    assert (np.sort(found[:, :6], axis=1) == np.sort(group_U[:6])).all()
    assert len(np.unique(found, axis=0)) > 5
    assert (found == permuted_groups(group_U, part_U, "score", 50, 3)).all()


def test_the_null_steers_other_latents_by_the_same_operations() -> None:
    operations = [Operation(3, "add", 2.0), Operation(7, "ablate")]
    found = random_latents(operations, np.arange(20), 50, 0)
    assert len(found) == 50 and len(set(found)) > 40
    for some in found:
        assert [one[1:] for one in some] == [one[1:] for one in operations]
        assert len({one.latent for one in some} - {3, 7}) == 2
    assert random_latents(operations, np.array([3, 7, 1]), 5, 0) == random_latents([], np.arange(9), 5, 0) == []


def test_sums_of_chunks_add_up_in_any_order(settings: Config, made: PolicyInputs) -> None:
    question = asked(settings, made)
    parts = [measuring.measure_chunk(question, number) for number in range(n_chunks(made.ingested))]
    whole = measure(question)
    backwards = parts[-1]
    for part in reversed(parts[:-1]):
        backwards = backwards.plus(part)
    assert backwards.plain_VGX == pytest.approx(whole.plain_VGX)
    assert backwards.users == whole.users
