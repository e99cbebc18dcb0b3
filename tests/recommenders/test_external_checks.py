"""Faults that would surface late, or never, are refused at once in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recsae.errors import BadInput
from recsae.recommenders import external_files
from recsae.recommenders.external_files import ExternalFiles
from tests.recommenders.external_world import (  # fmt: skip
    GIVEN,
    MODELS,
    N_TOKENS,
    TOKENS,
    WIDTH,
    Given,
    assembled,
    config_of,
    hugging_face,
    made,
    seeded,
    state_of,
)

RIGHT, GPT2 = made("Running"), hugging_face("transformer.h.1")
REFUSED: dict[str, tuple[Given, dict[str, Any], str]] = {
    "no package": (
        RIGHT,
        {"factory": "shop.models:build"},
        "factory = shop.models:build: shop.models cannot be imported (ModuleNotFoundError: No module named 'shop'); ",
    ),
    "no attribute": (
        RIGHT,
        {"factory": f"{MODELS}:Walking"},
        "has no attribute 'Walking'; name a function or class of",
    ),
    "not callable": (RIGHT, {"factory": f"{MODELS}:not_a_factory"}, "it cannot be called with recommender.foreign."),
    "other arguments": (RIGHT, {"arguments": {"depth": 2}}, "unexpected keyword argument 'depth'); fix these"),
    "no module": (
        RIGHT,
        {"factory": f"{MODELS}:not_a_module", "arguments": {}},
        "it returns int; return a torch.nn.Module",
    ),
    "other shapes": (
        RIGHT,
        {"arguments": {"n_tokens": N_TOKENS, "width": 8}},
        "weights: w.safetensors: it does not fit the module (size mismatch for ",
    ),
    "other names": (
        RIGHT,
        {"factory": f"{MODELS}:HiddenStates"},
        "it lacks body.item.weight, body.first.0.weight, body.first.0.bias and 4 more and the module has no "
        "first.0.bias, first.0.weight, head.bias and 6 more; fix",
    ),
    "unknown site": (
        RIGHT._replace(site="frist"),
        {},
        "probe.site = frist: the model has no submodule of that name; the nearest are first, ",
    ),
    "unused site": (RIGHT._replace(site="unused"), {}, "the scores do not depend on what it returns; name a submodule"),
    "silent site": (
        made("Twice", "unused"),
        {},
        "probe.site = unused is called 0 times in a run; name one called once",
    ),
    "site called twice": (made("Twice", "second"), {}, "probe.site = second is called 2 times in a run"),
    "site of another shape": (
        made("Turned"),
        {},
        "probe.site = first returns (3, 1, 16) for 1 histories of 3 positions",
    ),
    "scores of another shape": (made("Flat"), {}, "its scores are (3, 40) for 1 histories of 3 positions"),
    "no tensor": (
        made("Nested", arguments={"kind": "dict"}),
        {"output": "loss"},
        "it fails on 1 histories of up to 3 items (TypeError: NoneType holds no tensor); fix inputs, output",
    ),
    "no such output": (
        RIGHT,
        {"output": "logits"},
        "(AttributeError: 'Tensor' object has no attribute 'logits'); fix",
    ),
    "other inputs": (
        RIGHT,
        {"inputs": {"ids": "items", "mask": "mask"}},
        "its forward takes items, mask (missing a required argument: 'items'); name its arguments in recommender",
    ),
    "inputs mixed up": (
        RIGHT,
        {"inputs": {"items": "mask", "mask": "items"}},
        "its scores stay the same whatever the last item is; fix recommender.foreign.inputs",
    ),
    "dropout": (
        made("Dropping"),
        {},
        "two runs of the same history differ (dropout?); give a model in evaluation mode",
    ),
    "padding without a mask": (
        made("InPlace", padding="left", inputs={"": "items"}),
        {},
        "what it makes of a history changes with the longer ones beside it; in recommender.foreign tell it of padding",
    ),
    "padding without positions": (
        GPT2,
        {"padding": "left", "inputs": {"input_ids": "items", "attention_mask": "mask"}},
        "what it makes of a history changes with the longer ones beside it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(name: str) -> None:
    given, changed, said = REFUSED[name]
    parts = ExternalFiles(state_of(seeded(given.module)), TOKENS)
    with pytest.raises(BadInput) as refused:
        external_files.build_model(config_of(given.foreign | changed), parts, given.site, "cpu")
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_weights_that_are_no_safetensors_are_refused() -> None:
    with pytest.raises(BadInput, match=r"weights: w.safetensors: not a safetensors file \(SafetensorError"):
        external_files.build_model(config_of(RIGHT.foreign), ExternalFiles(b"pickled", TOKENS), RIGHT.site, "cpu")


def test_tokens_and_lengths_beyond_the_model_are_refused() -> None:
    with pytest.raises(BadInput, match=r"it fails on 1 histories of up to 3 items .*the tokens of the vocabulary"):
        assembled(GIVEN["right"], tokens_N=torch.tensor([1, N_TOKENS + 2]))
    with pytest.raises(
        BadInput, match=r"it fails on 3 histories of up to 11 items \(IndexError.*recommender\.max_length"
    ):
        assembled(GIVEN["gpt2 block"], max_length=11)
    assert assembled(GIVEN["right"], max_length=1).width == WIDTH


def test_a_token_that_the_model_does_not_score_is_refused() -> None:
    given = made("Narrow")
    assert assembled(given, tokens_N=torch.arange(20)).out_width == 20
    for token, said in ((20, "tokens 0 to 19, and 20 is none"), (-1, "tokens 0 to 19, and -1 is none")):
        with pytest.raises(BadInput, match=f"recommender.foreign.vocabulary: v.csv: the model scores the {said}"):
            assembled(given, tokens_N=torch.tensor([2, token]))
