"""The steered recommender: the clean one to the bit without an operation, and with some what an edit makes of it."""

from __future__ import annotations

import pytest
import torch

from recsae.errors import BadInput
from recsae.recommenders.base import Recommender, last_position
from recsae.recommenders.ranking import compare_chunk, pad, rank_chunk
from recsae.recommenders.topk import top_k
from recsae.sae.model import Sae
from recsae.steering.operations import Operation, Steering
from recsae.steering.steered import SteeredRecommender, answers
from recsae.steering.user_batches import batches
from tests.recommenders.test_ranking import N_ITEMS, SITES, LastItem, build, random_chunk

OPERATIONS = [Operation(3, "add", 1.5), Operation(5, "ablate"), Operation(9, "set", 2.0), Operation(11, "project")]


def sae(width: int) -> Sae:
    torch.manual_seed(4)
    return Sae(width, 30, "topk", 4).eval().requires_grad_(False)


def models() -> list[tuple[str, Recommender]]:
    foreign = LastItem(100_000)
    foreign.site = "some.module"
    return [*((f"{kind}-{site}", build(kind, site)) for kind, site in SITES), ("foreign", foreign)]


MODELS = models()


@pytest.fixture(params=[model for _, model in MODELS], ids=[name for name, _ in MODELS])
def model(request: pytest.FixtureRequest) -> Recommender:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("operations", [[], [Operation(3, "add", 0.0), Operation(4, "scale", 1.0)]])
@torch.inference_mode()
def test_what_does_nothing_is_the_clean_model_to_the_bit(model: Recommender, operations: list[Operation]) -> None:
    chunk, _ = random_chunk(9)
    steered = SteeredRecommender(model, Steering(sae(model.width), operations))
    for present in batches(chunk, None, model):
        clean_BLU = model.proceed(model.probe(present.histories), present.histories)
        assert torch.equal(steered.proceed(steered.probe(present.histories), present.histories), clean_BLU)
        u_BU = last_position(clean_BLU, present.histories)
        assert torch.equal(steered.ending(model.probe(present.histories), present.histories), u_BU)
        assert torch.equal(steered.scores(u_BU, 0, N_ITEMS), model.scores(u_BU, 0, N_ITEMS))
        assert torch.equal(steered.scores(u_BU, 7, 50), model.scores(u_BU, 7, 50))


def test_it_ranks_as_an_edit_at_the_site_does(model: Recommender) -> None:
    chunk, cases = random_chunk(20)
    steering = Steering(sae(model.width), OPERATIONS)
    expected = compare_chunk(model, {"steered": steering}, chunk, cases)
    found = rank_chunk(SteeredRecommender(model, steering), chunk, cases).full_C
    assert found.tolist() == expected.edited["steered"].tolist() != expected.clean_C.tolist()


def test_answers_are_those_of_every_variant_alone(model: Recommender) -> None:
    chunk, cases = random_chunk(20)
    variants = [Steering(sae(model.width), some) for some in ([], OPERATIONS[:2], OPERATIONS)]
    found = list(answers(model, variants, chunk, cases))
    for number, steering in enumerate(variants):
        alone = rank_chunk(SteeredRecommender(model, steering), chunk, cases).full_C
        mine = [answer for answer in found if answer.variant == number]
        assert sorted(row for answer in mine for row in answer.rows) == list(range(cases.num_rows))
        for answer in mine:
            assert answer.rank_B.tolist() == alone[answer.rows].tolist()
            assert answer.top_BT.shape == (len(answer.rows), 10)


@torch.inference_mode()
def test_the_end_is_the_same_whichever_way_it_is_reached(model: Recommender) -> None:
    chunk, _ = random_chunk(9)
    steered = SteeredRecommender(model, Steering(sae(model.width), OPERATIONS))
    for present in batches(chunk, None, model):
        ending_BU = steered.ending(model.probe(present.histories), present.histories)
        whole_BU = last_position(
            steered.proceed(steered.probe(present.histories), present.histories), present.histories
        )
        torch.testing.assert_close(ending_BU, whole_BU)
        assert (top_k(steered, ending_BU, present.seen, 5) == top_k(steered, whole_BU, present.seen, 5)).all()


def test_it_is_like_the_model_in_all_that_is_asked_of_one(model: Recommender) -> None:
    steered = SteeredRecommender(model, Steering(sae(model.width), OPERATIONS))
    for name in ("n_items", "width", "out_width", "max_length", "site", "sequential", "every_position"):
        assert getattr(steered, name) == getattr(model, name)


def test_padding_is_left_alone() -> None:
    model = build("sasrec", "block-0")
    steered = SteeredRecommender(model, Steering(sae(model.width), OPERATIONS))
    chunk, _ = random_chunk(3)
    histories = pad([chunk.items[:2], chunk.items[2:8]], "cpu", chunk.users[:2])
    with torch.inference_mode():
        clean_BLD, found_BLD = model.probe(histories), steered.probe(histories)
    assert torch.equal(found_BLD[0, 2:], clean_BLD[0, 2:])
    assert not torch.equal(found_BLD[0, :2], clean_BLD[0, :2])


def test_an_sae_of_another_width_is_refused() -> None:
    with pytest.raises(BadInput, match="reads vectors of 7 dimensions, and the recommender has 16 at the site user"):
        SteeredRecommender(build("sasrec", "user"), Steering(sae(7), []))
