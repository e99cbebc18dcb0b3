"""The SAE's section of the config: what a sweep asks for, what follows from the width, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from recsae.config.sae import SaeConfig, SweepConfig, candidates


def config_of(**given: Any) -> SaeConfig:
    return SaeConfig.model_validate(given)


def refusal(**given: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        config_of(**given)
    (error,) = caught.value.errors()
    return error["msg"]


def chosen(config: SaeConfig, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(one.config, name) for name in names) for one in candidates(config, 0)]


def test_without_a_sweep_there_is_one_and_it_is_of_the_runs_seed() -> None:
    config = config_of(num_latents=64, k=3, sweep={"pick": "ndcg", "keep_ndcg": 0.9})
    (only,) = candidates(config, 17)
    assert only.seed == 17 and only.config == config_of(num_latents=64, k=3)
    assert only.config.sweep == SweepConfig()


def test_a_sweep_is_every_combination_in_order() -> None:
    sweep = {"num_latents": [32, 64], "k": [2, 4], "learning_rate": [1e-3, 1e-2], "seed": [5, 1]}
    found = candidates(config_of(sweep=sweep, steps=7), 0)
    assert [(one.config.num_latents, one.config.k, one.config.learning_rate, one.seed) for one in found] == list(
        itertools.product((32, 64), (2, 4), (1e-3, 1e-2), (5, 1))
    )
    assert {(one.config.kind, one.config.steps, one.config.sweep) for one in found} == {("topk", 7, SweepConfig())}


def test_what_a_kind_does_not_have_tells_no_two_of_it_apart() -> None:
    config = config_of(k=3, l1=0.5, sweep={"kind": ["relu", "topk", "batchtopk"], "k": [2, 4], "l1": [0.1, 0.2, 0.3]})
    of_relu = [("relu", 3, 0.1), ("relu", 3, 0.2), ("relu", 3, 0.3)]
    others = [(kind, k, 0.5) for kind in ("topk", "batchtopk") for k in (2, 4)]
    assert chosen(config, "kind", "k", "l1") == of_relu + others
    assert chosen(config_of(k=3, sweep={"l1": [0.1, 0.2]}), "k") == [(3,)], "topk alone: nothing to vary"


def test_values_given_twice_are_one() -> None:
    assert len(candidates(config_of(sweep={"k": [4, 4, 2], "seed": [1, 1]}), 0)) == 2


@pytest.mark.parametrize(
    ("given", "nested"),
    [
        ({"num_latents": 1024}, (1024,)),
        ({"num_latents": 64, "prefixes": [8]}, (64,)),
        ({"num_latents": 1024, "kind": "matryoshka"}, (64, 128, 256, 512, 1024)),
        ({"num_latents": 100, "kind": "matryoshka"}, (6, 12, 25, 50, 100)),
        ({"num_latents": 8, "kind": "matryoshka"}, (1, 2, 4, 8)),
        ({"num_latents": 1, "kind": "matryoshka", "k": 1}, (1,)),
        ({"num_latents": 64, "kind": "matryoshka", "prefixes": [3, 40]}, (3, 40, 64)),
    ],
)
def test_prefixes_are_halves_unless_given(given: dict[str, Any], nested: tuple[int, ...]) -> None:
    assert config_of(**given).nested == nested


@pytest.mark.parametrize(
    ("num_latents", "rate"), [(2**14, 8e-4), (2**12, 1.6e-3), (2**16, 4e-4), (1024, 3.2e-3), (64, 4e-3)]
)
def test_the_rate_falls_with_the_square_root_of_the_width(num_latents: int, rate: float) -> None:
    assert config_of(num_latents=num_latents).rate == pytest.approx(rate)
    assert config_of(num_latents=num_latents, learning_rate=0.5).rate == 0.5


@pytest.mark.parametrize(
    "given",
    [
        {"k": 9, "num_latents": 8},
        {"num_latents": 16, "sweep": {"k": [8, 17]}},
        {"num_latents": 1024, "k": 32, "sweep": {"num_latents": [1024, 16]}},
        {"kind": "relu", "num_latents": 16, "k": 32, "sweep": {"kind": ["relu", "batchtopk"]}},
    ],
)
def test_k_above_the_width_is_refused_wherever_the_sweep_has_it(given: dict[str, Any]) -> None:
    k, width = max(given.get("k", 8), *given.get("sweep", {}).get("k", (0,))), min(given["num_latents"], 16)
    assert f"k = {k} is above num_latents = {width}; choose a smaller k" in refusal(**given)


def test_relu_has_no_k_that_could_be_too_large() -> None:
    config_of(kind="relu", num_latents=4, k=8)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prefixes": [8, 4], "num_latents": 64}, "prefixes = [8, 4] must ascend and stay below num_latents = 64"),
        ({"prefixes": [4, 4], "num_latents": 64}, "prefixes = [4, 4] must ascend and stay below num_latents = 64"),
        ({"prefixes": [8, 64], "num_latents": 64}, "prefixes = [8, 64] must ascend and stay below num_latents = 64"),
        ({"prefixes": [40], "sweep": {"num_latents": [64, 32]}}, "prefixes = [40] must ascend and stay below num_late"),
    ],
)
def test_prefixes_must_ascend_and_leave_latents(given: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(kind="matryoshka", **given)


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "gated"},
        {"k": 0},
        {"l1": 0.0},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"auxk": -1},
        {"auxk_alpha": -0.1},
        {"steps": 0},
        {"sweep": {"kind": ["topk", "gated"]}},
        {"sweep": {"k": [4, 0]}},
        {"sweep": {"l1": [0.0]}},
        {"sweep": {"seed": [2**32]}},
        {"sweep": {"keep_ndcg": 1.5}},
        {"sweep": {"pick": "l0"}},
        {"sweep": {"width": [4]}},
    ],
)
def test_bad_values_are_refused(given: dict[str, Any]) -> None:
    assert refusal(**given)


def test_no_auxiliary_loss_can_be_asked_for() -> None:
    assert config_of(auxk=0).auxk == 0 and config_of().auxk is None
