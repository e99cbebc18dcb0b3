"""One SAE in training: planted dictionaries, the same bits for any number of workers, dead latents, divergence."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from recsae.config.sae import Kind, SaeConfig
from recsae.distributed.deterministic_reduce import LANES, lane_rows
from recsae.sae.loss import Objective
from recsae.sae.model import Sae
from recsae.sae.trainer import WARMUP, SaeTrainer, schedule
from tests.sae.atoms import ACTIVE, ATOMS, D, planted

KINDS = get_args(Kind)
FAST = 0.03
"""A learning rate for trainings of few steps."""


PLANTED = planted()
SEEN = slice(0, 36_000)
HELD_OUT = torch.from_numpy(PLANTED.x_ND[36_000:])


def config_of(kind: str = "topk", **given: Any) -> SaeConfig:
    sizes = {"num_latents": ATOMS, "k": ACTIVE, "batch_size": 512, "dead_after": 4000}
    return SaeConfig.model_validate({"kind": kind, **sizes, **given})


def fit_of(config: SaeConfig, seed: int = 0) -> SaeTrainer:
    return SaeTrainer(config, seed, D, PLANTED.mean_D, PLANTED.scale, "cpu")


def batches(config: SaeConfig) -> Iterator[np.ndarray]:
    """Epochs of the rows that are not held out."""
    draw, x = np.random.default_rng(1), PLANTED.x_ND[SEEN]
    for _ in range(1000):
        order = draw.permutation(len(x))
        for start in range(0, len(x) - config.batch_size + 1, config.batch_size):
            yield x[order[start : start + config.batch_size]]


@cache
def trained(config: SaeConfig) -> SaeTrainer:
    """Shared by several tests, which must not change it."""
    fit = fit_of(config)
    for batch, _ in zip(batches(config), range(config.steps), strict=False):
        fit.step(batch)
    return fit


def active_per_row(sae: Sae) -> float:
    return float((sae.encode(HELD_OUT).value_BK > 0).sum(1).float().mean())


def held_out_fvu(sae: Sae) -> float:
    return float((sae.reconstruct(HELD_OUT) - HELD_OUT).square().sum() / (HELD_OUT - sae.mean_D).square().sum())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
@pytest.mark.parametrize("num_latents", [ATOMS, 2 * ATOMS])
def test_a_planted_dictionary_is_found_again(kind: str, num_latents: int) -> None:
    fit = trained(config_of(kind, num_latents=num_latents, steps=600))
    nearest_A = (PLANTED.atoms_AD @ fit.sae.W_dec.T).max(1).values
    assert nearest_A.mean() >= 0.95
    assert held_out_fvu(fit.sae) < 0.1
    if num_latents == ATOMS:
        assert fit.dead_share < 0.01
    torch.testing.assert_close(fit.sae.W_dec.norm(dim=1), torch.ones(num_latents))
    assert abs(active_per_row(fit.sae) - ACTIVE) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka"])
def test_the_threshold_lets_through_about_k_of_activations_never_seen(kind: str) -> None:
    sae = trained(config_of(kind, steps=300, learning_rate=FAST)).sae
    assert active_per_row(sae) == pytest.approx(ACTIVE, rel=0.05)
    assert (sae.encode(HELD_OUT).value_BK > 0).sum(1).bincount().count_nonzero() > 3, "more of some, fewer of others"


@pytest.mark.slow
def test_a_larger_penalty_leaves_fewer_active_and_more_unexplained() -> None:
    fits = [trained(config_of("relu", steps=200, l1=l1, learning_rate=FAST)) for l1 in (0.01, 0.1, 1.0)]
    active = [active_per_row(fit.sae) for fit in fits]
    fvu = [held_out_fvu(fit.sae) for fit in fits]
    assert active[0] > 1.5 * active[1] > 1.5**2 * active[2] and fvu == sorted(fvu)


@pytest.mark.slow
def test_the_first_latents_reconstruct_on_their_own() -> None:
    """Of `matryoshka`; the first ones of `batchtopk` are no better than any others."""
    fvu: dict[str, list[float]] = {}
    nested = config_of("matryoshka").nested
    assert nested == (4, 8, 16, 32, 64)
    x_BD = HELD_OUT - torch.from_numpy(PLANTED.mean_D)
    for kind in ("matryoshka", "batchtopk"):
        sae = trained(config_of(kind, steps=300, learning_rate=FAST)).sae
        index_BK, value_BK = sae.encode(HELD_OUT)
        parts = [sae.decode(index_BK, value_BK * (index_BK < width)) for width in nested]
        fvu[kind] = [float((part - HELD_OUT).square().sum() / x_BD.square().sum()) for part in parts]
    assert fvu["matryoshka"] == sorted(fvu["matryoshka"], reverse=True)
    for of_prefix, of_as_many in zip(fvu["matryoshka"][1:-1], fvu["batchtopk"][1:-1], strict=True):
        assert of_prefix < of_as_many - 0.03


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_latents", [8, 64, 1024])
def test_the_first_batch_is_not_reconstructed_worse_than_by_its_mean(kind: str, num_latents: int) -> None:
    fit = fit_of(config_of(kind, num_latents=num_latents, l1=1e-6))
    assert fit.step(PLANTED.x_ND[:512]) < 1.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [3, 41])
def test_a_step_tells_the_fvu_of_the_batch_before_it(kind: str, rows: int) -> None:
    """Error per dimension in units of the stream's variance, lane by lane; fewer rows than lanes change nothing."""
    config = config_of(kind, steps=100)
    fit = fit_of(config)
    for batch, _ in zip(batches(config), range(5), strict=False):
        fit.step(batch)
    x = PLANTED.x_ND[-rows:]
    normal = fit.sae.normalise(torch.from_numpy(x))
    lanes = [normal[lane_rows(lane, rows)] for lane in range(LANES)]
    objective = Objective(config, D, "cpu")
    error = sum(float((objective.reconstruct(fit.sae, lane) - lane).square().sum()) for lane in lanes if len(lane))
    assert fit.step(x) == pytest.approx(error / x.size, rel=1e-5)


def everything(fit: SaeTrainer) -> dict[str, Tensor]:
    return {f"{group}.{name}": value for group, held in fit.tensors().items() for name, value in held.items()}


def same_values(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def same_bits(one: SaeTrainer, other: SaeTrainer) -> bool:
    first, second = everything(one), everything(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def fitted_by(
    world: int, config: SaeConfig, steps: int, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[SaeTrainer, Any]]:
    """Every worker's SAE after some steps, and its FVUs; gloo groups in threads of one process."""
    fits = [fit_of(config) for _ in range(world)]
    for fit in fits:
        fit.inactive_H[:9] = 10**6  # the auxiliary loss has its part from the beginning
        fit.sae.b_enc[:9] = -9.0
    store, mine = dist.HashStore(), threading.local()  # type: ignore[attr-defined]

    def all_gather(parts: list[Tensor], own: Tensor) -> None:
        mine.group.allgather([parts], [own]).wait()

    def work(rank: int) -> list[float]:
        if world > 1:
            mine.group = dist.ProcessGroupGloo(store, rank, world, timedelta(seconds=30))
        steps_of = zip(batches(config), range(steps), strict=False)
        return [fits[rank].step(batch, rank, world) for batch, _ in steps_of]

    monkeypatch.setattr(dist, "all_gather", all_gather)
    with ThreadPoolExecutor(world) as pool:
        return list(zip(fits, pool.map(work, range(world)), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_the_same_to_the_bit_for_every_number_of_workers(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(kind, batch_size=61, dead_after=61, steps=12)
    ((alone, told),) = fitted_by(1, config, 8, monkeypatch)
    assert alone.dead_share > 0
    for world in (2, 3, 8):
        for fit, also_told in fitted_by(world, config, 8, monkeypatch):
            assert same_bits(fit, alone) and also_told == told, world


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_goes_on_to_the_same_bits(kind: str) -> None:
    config = config_of(kind, batch_size=61, dead_after=61, steps=12)
    source = list(zip(batches(config), range(12), strict=False))
    undisturbed, first = fit_of(config), fit_of(config)
    told = [undisturbed.step(batch) for batch, _ in source]
    for batch, _ in source[:5]:
        first.step(batch)
    kept = {group: {name: value.clone() for name, value in held.items()} for group, held in first.tensors().items()}
    later = fit_of(config, seed=7)
    assert not same_bits(later, first)
    later.load(kept)
    assert same_bits(later, first) and later.steps == 5
    assert [later.step(batch) for batch, _ in source[5:]] == told[5:]
    assert same_bits(later, undisturbed)
    assert all(torch.equal(held[name], value) for group, held in kept.items() for name, value in kept[group].items())


def test_first_weights_are_of_the_seed() -> None:
    assert same_bits(fit_of(config_of(), 3), fit_of(config_of(), 3))
    assert not same_bits(fit_of(config_of(), 3), fit_of(config_of(), 4))


@pytest.mark.parametrize("kind", KINDS)
def test_silence_is_counted_in_activations(kind: str) -> None:
    config = config_of(kind, num_latents=6, k=1, dead_after=82, learning_rate=1e-9)
    fit = fit_of(config)
    fit.step(PLANTED.x_ND[:41])
    fit.sae.b_enc.fill_(-100.0)
    fit.sae.b_enc[2] = 100.0
    fit.inactive_H.zero_()
    for rows in (41, 40, 1):
        assert fit.dead_share == 0
        fit.step(PLANTED.x_ND[:rows])
    assert fit.inactive_H.tolist() == [82, 82, 0, 82, 82, 82] and fit.dead_share == pytest.approx(5 / 6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("auxk", [5, 0])
def test_dead_latents_come_back_by_the_auxiliary_loss_alone(kind: str, auxk: int) -> None:
    """Twenty latents that no activation reaches; without the loss not even their weights move."""
    config = config_of(kind, auxk=auxk, steps=1000, dead_after=1024, l1=0.01, learning_rate=FAST)
    fit, source = fit_of(config), batches(config)
    fit.step(next(source))
    pre_NH = fit.sae.normalise(torch.from_numpy(PLANTED.x_ND)) @ fit.sae.W_enc[:20].T
    fit.sae.b_enc[:20] = -pre_NH.max(0).values - 0.1
    for pair in fit.moments.values():
        pair[0].zero_()  # else Adam goes on for some steps
    before_HD, revived_H = fit.sae.W_enc.clone(), torch.zeros(ATOMS, dtype=torch.bool)
    for _ in range(150):
        fit.step(next(source))
        revived_H |= fit.inactive_H == 0
    assert revived_H[20:].float().mean() > 0.9
    moved_H = (fit.sae.W_enc != before_HD).any(1)
    assert moved_H[20:].all()
    if auxk:
        assert moved_H[:20].all() and revived_H[:20].float().mean() > 0.2
    else:
        assert not moved_H[:20].any() and not revived_H[:20].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [1e20, 1e38])
def test_what_has_diverged_stays_as_it_is(kind: str, rate: float) -> None:
    config = config_of(kind, learning_rate=rate)
    fit, source = fit_of(config), batches(config)
    told = [fit.step(next(source)) for _ in range(20)]
    step = told.index(next(fvu for fvu in told if not math.isfinite(fvu)))
    assert 0 < step < 10 and all(math.isnan(fvu) for fvu in told[step:]) and fit.diverged and fit.steps == 20
    before = {name: value.clone() for name, value in everything(fit).items()}
    later = fit_of(config)
    later.load(fit.tensors())
    assert math.isnan(later.step(next(source))) and later.diverged and later.steps == 21
    changed = [name for name, value in everything(later).items() if not same_values(value, before[name])]
    assert changed == ["progress.steps"]


def test_an_activation_that_is_no_number_is_not_trained_on() -> None:
    fit, x = fit_of(config_of()), PLANTED.x_ND[:512].copy()
    fit.step(x)
    before = {name: value.clone() for name, value in fit.sae.state_dict().items()}
    x[17, 3] = np.nan
    assert math.isnan(fit.step(x)) and fit.diverged
    assert all(torch.equal(value, before[name]) for name, value in fit.sae.state_dict().items())


def test_the_rate_rises_stays_and_falls() -> None:
    assert [schedule(step, 3000) for step in (0, WARMUP // 2 - 1, WARMUP - 1, WARMUP, 2399)] == pytest.approx(
        [1 / WARMUP, 0.5, 1, 1, 1]
    )
    assert [schedule(step, 3000) for step in (2400, 2700, 2970, 2999)] == pytest.approx([1, 0.5, 0.05, 0.01])
    assert all(0 < schedule(step, steps) <= 1 for steps in (1, 2, 9, 130) for step in range(steps))


def test_the_first_step_is_of_the_schedules_size() -> None:
    """Adam's first step moves every weight that has a gradient by the rate."""
    fit = fit_of(config_of(learning_rate=0.5))
    fit.step(PLANTED.x_ND[:512])
    torch.testing.assert_close(fit.sae.b_dec.abs(), torch.full((D,), 0.5 / WARMUP), rtol=1e-3, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_sae_that_goes_on_reconstructs_as_before_under_another_centring_and_scale(kind: str) -> None:
    before = trained(config_of(kind, steps=60, learning_rate=FAST)).sae
    moved = SaeTrainer(config_of(kind), 9, D, PLANTED.mean_D + 0.3, PLANTED.scale * 1.7, "cpu")
    moved.warm_start(before)
    x_BD = HELD_OUT[:200]
    torch.testing.assert_close(moved.sae.reconstruct(x_BD), before.reconstruct(x_BD), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved.sae.W_dec, before.W_dec)
    assert float(moved.sae.scale) == pytest.approx(1.7 * float(before.scale))


def test_an_sae_that_goes_on_is_not_shrunk_and_not_moved_far_by_its_first_step() -> None:
    config = config_of(steps=60, learning_rate=FAST)
    before = trained(config).sae
    moved = fit_of(config, seed=5)
    moved.warm_start(before)
    moved.step(next(batches(config)))
    assert (moved.sae.W_dec * before.W_dec).sum(1).min() > 0.99
    assert float((moved.sae.W_enc - before.W_enc).abs().max()) < 0.01
