"""What Ray Train needs of both trainings: one run that resumes from its newest checkpoint, and checkpoints of tensors.

A checkpoint is a folder of `safetensors` and one JSON. It knows Ray Train and nothing of what is trained.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import safetensors.torch
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from recsae.config import ResourcesConfig
from recsae.store.progress import Progress

State = dict[str, Any]
Tensors = dict[str, torch.Tensor]

RETRIES = 3
"""Workers that may be lost before the stage gives up."""


def fit(
    loop: Callable[[dict[str, Any]], None], task: dict[str, Any], resources: ResourcesConfig, progress: Progress
) -> tuple[State, dict[str, Tensors]]:
    """Run `loop(task)` on the Train workers and return what it saved last.

    The run lives in the stage's progress folder: a later attempt of the same fingerprint goes on from there.
    """

    def quiet_loop(task: dict[str, Any]) -> None:
        logging.getLogger().setLevel(logging.WARNING)  # Train notes every report, on a logger of its own naming
        loop(task)

    progress.folder.filesystem.create_dir(progress.folder.path, recursive=True)
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    trainer = TorchTrainer(
        quiet_loop,
        train_loop_config={**task, "device": resources.device},
        torch_config=TorchConfig(backend="nccl" if resources.device == "cuda" else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=resources.train_workers,
            use_gpu=resources.device == "cuda",
            resources_per_worker={"CPU": 1, **({"GPU": 1} if resources.device == "cuda" else {})},
        ),
        run_config=RunConfig(
            name="train",
            storage_path=progress.folder.path,
            storage_filesystem=progress.folder.filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=RETRIES),
            logging_config=LoggingConfig(log_level="WARNING"),  # type: ignore[call-arg]
        ),
    )
    result = trainer.fit()
    assert result.checkpoint is not None
    return read_checkpoint(result.checkpoint)


def save(state: State, tensors: dict[str, Tensors]) -> None:
    """Report a checkpoint; every worker calls this, the first one's is kept."""
    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report({})
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, group in tensors.items():
            # A tied or sliced tensor would be refused: safetensors wants each one whole.
            whole = {key: value.detach().cpu().clone().contiguous() for key, value in group.items()}
            safetensors.torch.save_file(whole, f"{folder}/{name}.safetensors")
        Path(folder, "state.json").write_text(json.dumps(state))
        ray.train.report({}, checkpoint=Checkpoint.from_directory(folder))


def resume() -> tuple[State, dict[str, Tensors]] | None:
    """What the newest checkpoint of this run holds, if there is one."""
    checkpoint = ray.train.get_checkpoint()
    return read_checkpoint(checkpoint) if checkpoint else None


def read_checkpoint(checkpoint: Checkpoint) -> tuple[State, dict[str, Tensors]]:
    with checkpoint.as_directory() as folder:
        tensors = {path.stem: safetensors.torch.load_file(path) for path in Path(folder).glob("*.safetensors")}
        return json.loads(Path(folder, "state.json").read_text()), tensors


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """The moments of an Adam optimiser as named tensors."""
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, moments in optimiser.state_dict()["state"].items()
        for key, value in moments.items()
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """The inverse of `optimiser_tensors`, onto an optimiser over the same parameters."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
