"""External models: hooks read and edit them, whatever their padding, outputs and origin."""

from __future__ import annotations

import pytest
import torch

from recsae.recommenders.base import last_position
from recsae.recommenders.external import ExternalRecommender
from recsae.recommenders.ranking import pad
from tests.recommenders.external_world import (  # fmt: skip
    GIVEN,
    LAST_ONLY,
    N_ITEMS,
    N_TOKENS,
    TOKENS,
    USERS,
    assembled,
    histories_of,
    hugging_face,
    prefix_of,
    seeded,
)


@pytest.fixture(params=GIVEN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> ExternalRecommender:
    return assembled(GIVEN[name])


@torch.inference_mode()
def test_later_events_do_not_change_an_earlier_vector(model: ExternalRecommender) -> None:
    histories = histories_of((10,))
    other = histories._replace(items_BL=histories.items_BL.clone())
    other.items_BL[0, 6:] = (other.items_BL[0, 6:] + 1) % N_ITEMS
    torch.testing.assert_close(model.probe(histories)[:, :6], model.probe(other)[:, :6], atol=1e-5, rtol=1e-4)
    assert model.every_position


@torch.inference_mode()
def test_the_vector_at_a_position_is_that_of_the_history_up_to_it(name: str, model: ExternalRecommender) -> None:
    if name == "in place":
        pytest.skip("it attends to padding, of which a shorter history has more")
    whole = model.probe(histories_of((10,)))[0]
    for length in range(1, 11):
        prefix = prefix_of(histories_of((10,)), length)
        torch.testing.assert_close(
            last_position(model.probe(prefix), prefix)[0], whole[length - 1], atol=1e-5, rtol=1e-4
        )


@torch.inference_mode()
def test_an_earlier_event_does_change_a_later_vector(model: ExternalRecommender) -> None:
    histories = histories_of((6,))
    other = histories._replace(items_BL=histories.items_BL.clone())
    other.items_BL[0, 0] = (other.items_BL[0, 0] + 1) % N_ITEMS
    assert (model.probe(histories)[0, -1] - model.probe(other)[0, -1]).abs().max() > 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("name", [*GIVEN, *LAST_ONLY])
def test_a_history_is_the_same_alone_and_beside_longer_ones(name: str) -> None:
    model = assembled((GIVEN | LAST_ONLY)[name])
    histories = histories_of()
    h_BD = last_position(model.probe(histories), histories)
    u_BU = last_position(model.proceed(model.probe(histories), histories), histories)
    for row, length in enumerate(histories.length_B.tolist()):
        alone = pad([histories.items_BL[row, :length].numpy()], "cpu", USERS[row : row + 1])
        h_BLD = model.probe(alone)
        torch.testing.assert_close(last_position(h_BLD, alone)[0], h_BD[row], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            last_position(model.proceed(h_BLD, alone), alone)[0], u_BU[row], atol=1e-5, rtol=1e-4
        )


@torch.inference_mode()
def test_an_unedited_vector_gives_the_clean_scores_exactly(model: ExternalRecommender) -> None:
    histories = histories_of()
    asked = model.ask(histories)
    clean = model.back(model.run(asked), asked)
    u_BLU = model.proceed(model.probe(histories), histories)
    real_BL = asked.real_BL
    assert torch.equal(u_BLU[real_BL], clean[real_BL])
    assert u_BLU.shape == (3, 10, model.out_width) and model.out_width == N_TOKENS


@torch.inference_mode()
def test_an_edit_changes_its_own_scores_and_none_before(model: ExternalRecommender) -> None:
    histories = histories_of((8,))
    h_BLD = model.probe(histories)
    clean = model.proceed(h_BLD, histories)[0]
    edited = h_BLD.clone()
    edited[0, 3] += torch.linspace(-2, 2, model.width)
    changed = (model.proceed(edited, histories)[0] - clean).abs().amax(1)
    assert changed[:3].max() < 1e-5 and changed[3] > 1e-3
    assert torch.equal(model.proceed(model.probe(histories), histories)[0], clean)


@torch.inference_mode()
def test_an_edit_of_an_earlier_block_reaches_later_positions() -> None:
    model, histories = assembled(hugging_face("transformer.h.0", padding="left")), histories_of((8, 5))
    h_BLD = model.probe(histories)
    edited = h_BLD.clone()
    edited[:, 2] += torch.linspace(-2, 2, model.width)
    changed = (model.proceed(edited, histories) - model.proceed(h_BLD, histories)).abs().amax(2)
    assert changed[:, :2].max() < 1e-5 and changed[0, 2:].min() > 1e-4 and changed[1, 2:5].min() > 1e-4


@torch.inference_mode()
def test_scores_are_the_columns_of_the_items_tokens(model: ExternalRecommender) -> None:
    u_XU = torch.randn(4, N_TOKENS)
    scores = model.scores(u_XU, 0, N_ITEMS)
    assert torch.equal(scores, u_XU[:, TOKENS])
    assert torch.equal(model.scores(u_XU, 3, 9), scores[:, 3:9])
    scores[:] = 0
    assert u_XU.abs().min() > 0


@torch.inference_mode()
@pytest.mark.parametrize("site", ["transformer.h.1", "transformer.ln_f"])
def test_gpt2_is_asked_as_its_own_library_would(site: str) -> None:
    module, histories = seeded(hugging_face(site).module), histories_of()
    by_padding = [assembled(hugging_face(site, padding=side, padding_token=2)) for side in ("right", "left")]
    for row, length in enumerate(histories.length_B.tolist()):
        ids = TOKENS[histories.items_BL[row, :length]][None]
        result = module(input_ids=ids, output_hidden_states=True)
        for model in by_padding:
            h_LD = model.probe(histories)[row, :length]
            u_LU = model.proceed(model.probe(histories), histories)[row, :length]
            torch.testing.assert_close(u_LU, result.logits[0], atol=1e-5, rtol=1e-4)
            if site == "transformer.ln_f":  # which the library counts as the last hidden state
                torch.testing.assert_close(h_LD, result.hidden_states[-1][0], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("name", LAST_ONLY)
def test_a_model_of_the_last_position_alone_says_so(name: str) -> None:
    model, histories = assembled(LAST_ONLY[name]), histories_of()
    assert not model.every_position
    h_BLD = model.probe(histories)
    u_BLU = model.proceed(h_BLD, histories)
    assert u_BLU.shape == (3, 10, N_TOKENS)
    edited = h_BLD.clone()
    edited[torch.arange(3), histories.length_B - 1] += 1
    assert (last_position(model.proceed(edited, histories), histories) - last_position(u_BLU, histories)).abs().amax(
        1
    ).min() > 1e-4
