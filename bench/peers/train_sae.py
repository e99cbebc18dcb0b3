"""The peers in the benchmark of SAE training, each by its own classes; nothing of recsae is imported.

    bench/.peers/bin/python bench/peers/train_sae.py --peer sparsify --activations scaled.npy --num-latents 1024 --k 8

`bench/sae.py` makes that environment and says what is compared. `scaled.npy` holds centred and scaled float32 rows
`(N, D)`, in the order in which they are trained on, the last `--held-out` of them for the FVU alone.

sparsify            SparseCoder, its FVU and AuxK, and around them the lines of its Trainer, which wants a language
                    model to read from; torch's Adam, as its `optimizer = "adam"` takes where bitsandbytes is not
dictionary_learning TopKTrainer.update
saelens             SAETrainer.step over a TopKTrainingSAE
product             the encoder's matrix product and no more, into fresh memory, as torch's addmm does it

All have the same learning rate: warmed up over 100 steps, level, and falling to 0 over the last fifth; and the same
number of activations after which a silent latent is dead. Prints one line of JSON, the last of its output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

WARM_UP = 100
PACKAGES = {"sparsify": "eai-sparsify", "dictionary_learning": "dictionary-learning", "saelens": "sae-lens"}


class Contestant(NamedTuple):
    """One step on a batch `(B, D)`; the reconstruction of rows; the share of dead latents."""

    step: Callable[[Tensor], object]
    reconstruct: Callable[[Tensor], Tensor]
    dead_share: Callable[[], float]


def schedule(steps: int) -> Callable[[int], float]:
    """Share of the learning rate at a step; recsae's own."""
    return lambda step: min((step + 1) / WARM_UP, 1.0, max((steps - step) / (0.2 * steps), 0.01))


def sparsify(asked: argparse.Namespace, width: int, steps: int) -> Contestant:
    from sparsify import SparseCoder, SparseCoderConfig

    config = SparseCoderConfig(num_latents=asked.num_latents, k=asked.k)
    coder = SparseCoder(width, config, dtype=torch.float32)
    adam = torch.optim.Adam(coder.parameters(), lr=asked.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(adam, schedule(steps))
    silent = torch.zeros(coder.num_latents, dtype=torch.long)
    fired = torch.zeros(coder.num_latents, dtype=torch.bool)
    first = True

    def step(x_BD: Tensor) -> None:
        nonlocal first
        if first:
            coder.b_dec.data, first = x_BD.mean(0), False
        coder.set_decoder_norm_to_unit_norm()
        dead = silent > asked.dead_after if asked.auxk_alpha > 0 else None
        variance = (x_BD - x_BD.mean(0)).pow(2).sum()
        out = coder(x_BD, dead_mask=dead, total_variance=variance)
        fired[out.latent_indices.flatten()] = True
        (out.fvu + asked.auxk_alpha * out.auxk_loss).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()
        scheduler.step()
        silent.add_(len(x_BD))
        silent[fired] = 0
        fired.zero_()

    def reconstruct(x_BD: Tensor) -> Tensor:
        found = coder.encode(x_BD)
        return coder.decode(found.top_acts, found.top_indices)

    return Contestant(step, reconstruct, lambda: float((silent > asked.dead_after).float().mean()))


def dictionary_learning(asked: argparse.Namespace, width: int, steps: int) -> Contestant:
    # Its buffer of a language model's activations, which is not used here, imports it.
    stub = types.ModuleType("nnsight")
    stub.LanguageModel = object  # type: ignore[attr-defined]
    sys.modules["nnsight"] = stub
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(
        steps=steps,
        activation_dim=width,
        dict_size=asked.num_latents,
        k=asked.k,
        layer=0,
        lm_name="",
        lr=asked.learning_rate,
        auxk_alpha=asked.auxk_alpha,
        warmup_steps=WARM_UP,
        decay_start=int(0.8 * steps),
        seed=0,
        device="cpu",
    )
    trainer.dead_feature_threshold = asked.dead_after
    taken = 0

    def step(x_BD: Tensor) -> None:
        nonlocal taken
        trainer.update(taken, x_BD)
        taken += 1

    def dead_share() -> float:
        return float((trainer.num_tokens_since_fired >= asked.dead_after).float().mean())

    return Contestant(step, trainer.ae, dead_share)


def saelens(asked: argparse.Namespace, width: int, steps: int) -> Contestant:
    from sae_lens import LoggingConfig, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    config = TopKTrainingSAEConfig(
        d_in=width,
        d_sae=asked.num_latents,
        k=asked.k,
        aux_loss_coefficient=asked.auxk_alpha,
    )
    sae = TopKTrainingSAE(config)
    training = SAETrainerConfig(
        total_training_samples=steps * asked.batch,
        train_batch_size_samples=asked.batch,
        lr=asked.learning_rate,
        lr_end=asked.learning_rate / 100,
        lr_warm_up_steps=WARM_UP,
        lr_decay_steps=int(0.2 * steps),
        dead_feature_window=asked.dead_after // asked.batch if asked.auxk_alpha > 0 else steps,
        logger=LoggingConfig(log_to_wandb=False),
    )
    trainer = SAETrainer(training, sae, data_provider=iter(()))

    def step(x_BD: Tensor) -> None:
        trainer.maybe_reset_sparsity()
        trainer.step(x_BD)
        trainer.n_training_steps += 1

    def dead_share() -> float:
        return float((trainer.n_forward_passes_since_fired > asked.dead_after // asked.batch).float().mean())

    return Contestant(step, sae, dead_share)


def product(asked: argparse.Namespace, width: int, steps: int) -> Contestant:
    weight, bias = torch.randn(asked.num_latents, width), torch.randn(asked.num_latents)

    @torch.no_grad()
    def step(x_BD: Tensor) -> None:
        torch.addmm(bias, x_BD, weight.T)

    return Contestant(step, lambda x_BD: x_BD, lambda: 0.0)


CONTESTANTS = {function.__name__: function for function in (sparsify, dictionary_learning, saelens, product)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train one peer's TopK SAE and print its rate and FVU.")
    parser.add_argument("--peer", choices=tuple(CONTESTANTS), required=True)
    parser.add_argument("--activations", type=Path, required=True)
    parser.add_argument("--held-out", type=int, default=50_000)
    parser.add_argument("--num-latents", type=int, default=1024)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--warm-up", type=int, default=60, help="steps before the clock starts")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--auxk-alpha", type=float, default=0.0)
    parser.add_argument("--dead-after", type=int, default=200_000, help="activations")
    return parser.parse_args()


@torch.no_grad()
def fvu(contestant: Contestant, x_ND: Tensor) -> float:
    """Σ‖x̂−x‖² / Σ‖x−mean(x)‖²."""
    error = sum(float((contestant.reconstruct(rows) - rows).double().square().sum()) for rows in x_ND.split(4096))
    return error / float((x_ND - x_ND.mean(0)).double().square().sum())


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x_ND = torch.from_numpy(np.load(asked.activations))
    train, held_out = x_ND[: -asked.held_out], x_ND[-asked.held_out :]
    batches = train.split(asked.batch)[: len(train) // asked.batch]
    total = asked.warm_up + asked.steps
    contestant = CONTESTANTS[asked.peer](asked, x_ND.shape[1], total)
    for number in range(total):
        if number == asked.warm_up:
            wall, processor = time.perf_counter(), time.process_time()
        contestant.step(batches[number % len(batches)])
    rows = asked.steps * asked.batch
    found = {
        "rate": rows / (time.process_time() - processor),
        "wall_rate": rows / (time.perf_counter() - wall),
        "fvu": None if asked.peer == "product" else fvu(contestant, held_out),
        "dead_share": contestant.dead_share(),
    }
    names = ["torch", "numpy", *([PACKAGES[asked.peer]] if asked.peer in PACKAGES else [])]
    print(json.dumps({"peer": asked.peer, **found, "versions": {name: version(name) for name in names}}))


if __name__ == "__main__":
    main()
