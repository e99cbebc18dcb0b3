"""RecTools' SASRec as its users would hand it over: probed, edited and ranked as RecTools itself does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsae.recommenders import external_files
from recsae.recommenders.base import last_position
from recsae.recommenders.external import ExternalRecommender
from recsae.recommenders.external_files import ExternalFiles
from tests.recommenders.external_world import LENGTH, N_ITEMS, N_TOKENS, TOKENS, config_of, histories_of, state_of

pytest.importorskip("rectools", reason="`make test` installs it without its pins, which clash with ours")
SITES = ["transformer_layers.transformer_blocks.0", "transformer_layers.last_layernorm"]
ARGUMENTS = {"n_items": N_TOKENS - 1, "width": 16, "blocks": 2, "heads": 2, "max_length": LENGTH}


@pytest.fixture(scope="module")
def module() -> nn.Module:
    """A few steps of training on histories that go up by one token, padded on the left as RecTools does."""
    from tests.recommenders.rectools_sasrec import build

    torch.manual_seed(0)
    model = build(**ARGUMENTS).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        start = torch.randint(1, N_TOKENS, (32, 1))
        walk = (start - 1 + torch.arange(LENGTH + 1)) % (N_TOKENS - 1) + 1
        loss = F.cross_entropy(model(walk[:, :-1]).flatten(0, 1), walk[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def taken_over(module: nn.Module, site: str, **more: bool) -> ExternalRecommender:
    section = {
        "factory": "tests.recommenders.rectools_sasrec:build",
        "arguments": ARGUMENTS,
        "padding": "left",
        "fixed_length": True,
        **more,
    }
    return external_files.build_model(config_of(section), ExternalFiles(state_of(module), TOKENS), site, "cpu")


def theirs(module: nn.Module, items: Tensor) -> Tensor:
    """The scores that RecTools would serve for one history."""
    padded = torch.zeros(1, LENGTH, dtype=torch.long)
    padded[0, LENGTH - len(items) :] = TOKENS[items]
    scores: Tensor = module(padded)[0, -1, TOKENS]
    return scores


def test_it_has_learnt_something(module: nn.Module) -> None:
    walk = torch.arange(1, LENGTH + 1)[None]
    with torch.inference_mode():
        assert module(walk)[0, -1].argmax() == LENGTH + 1


@torch.inference_mode()
@pytest.mark.parametrize("site", SITES)
def test_unedited_it_serves_what_rectools_serves(module: nn.Module, site: str) -> None:
    model, histories = taken_over(module, site), histories_of()
    u_BU = last_position(model.proceed(model.probe(histories), histories), histories)
    for row, length in enumerate(histories.length_B.tolist()):
        expected = theirs(module, histories.items_BL[row, :length])
        torch.testing.assert_close(model.scores(u_BU, 0, N_ITEMS)[row], expected, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("site", SITES)
def test_an_edit_acts(module: nn.Module, site: str) -> None:
    model, histories = taken_over(module, site), histories_of()
    h_BLD = model.probe(histories)
    edited = h_BLD + torch.linspace(-1, 1, model.width)
    moved = last_position(model.proceed(edited, histories), histories) - last_position(
        model.proceed(h_BLD, histories), histories
    )
    assert moved.abs().amax(1).min() > 1e-3


@torch.inference_mode()
def test_case_by_case_it_is_what_it_would_serve(module: nn.Module) -> None:
    """It counts positions from the end, so what it holds at an earlier one is not the state of the history up to it."""
    assert taken_over(module, SITES[1]).every_position
    assert not taken_over(module, SITES[1], case_by_case=True).every_position
