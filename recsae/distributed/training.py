"""Runs both trainings on Ray Train: a run resumes from its newest checkpoint; checkpoints hold tensors and JSON.

A checkpoint has one folder per model, with `safetensors` files and one JSON file.
"""

from __future__ import annotations

import json
import logging
import resource
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import ray.train
import safetensors.torch
import torch
import torch.distributed as dist
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from recsae.config.schema import ResourcesConfig
from recsae.observability import progress
from recsae.store.progress import Progress

State = dict[str, Any]
Tensors = dict[str, torch.Tensor]

BEST, STATE = "best.safetensors", "state.json"
MAX_FAILURES = 3
"""Worker failures tolerated before the stage fails."""


def fit(
    loop: Callable[[dict[str, Any]], None], task: dict[str, Any], resources: ResourcesConfig, stored: Progress
) -> dict[str, tuple[State, Tensors]]:
    """Run `loop(task)` on the Train workers; returns the last saved state and the best weights by model.

    With `resources.min_train_workers` the run starts, and continues after a loss, with as many workers as the cluster
    can place. The run is stored in the stage's progress folder, where a later attempt of the same fingerprint resumes.
    """

    def quiet_loop(task: dict[str, Any]) -> None:
        logging.getLogger().setLevel(logging.WARNING)  # Train logs every report, on a logger with a generated name
        if relayed:
            progress.relay()
        loop(task)

    stored.folder.create()
    progress.phase("starting the training workers")
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    trainer = TorchTrainer(
        quiet_loop,
        train_loop_config={**task, "device": resources.device},
        torch_config=TorchConfig(backend="nccl" if resources.device == "cuda" else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=_workers(resources),  # type: ignore[arg-type]
            use_gpu=resources.device == "cuda",
            resources_per_worker={"CPU": 1, **({"GPU": 1} if resources.device == "cuda" else {})},
        ),
        run_config=RunConfig(
            name="train",
            storage_path=stored.folder.path,
            storage_filesystem=stored.folder.filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            logging_config=LoggingConfig(log_level="WARNING"),  # type: ignore[call-arg]
        ),
    )
    with progress.from_workers() as relayed:
        result = trainer.fit()
    assert result.checkpoint is not None
    with result.checkpoint.as_directory() as folder:
        models = sorted(path for path in Path(folder).iterdir() if path.is_dir())
        return {model.name: (_state(model), safetensors.torch.load_file(model / BEST)) for model in models}


def _workers(resources: ResourcesConfig) -> int | tuple[int, int]:
    least, most = resources.min_train_workers, resources.train_workers
    return most if least in (None, most) else (least, most)


class Checkpoints:
    """One worker's checkpoints: the newest state of its models and their best weights so far.

    `mine` are the models that this worker owns; each model has one owner. Best weights are kept in files, since an
    embedding table may fill most of the memory.
    """

    def __init__(self, mine: Collection[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="recsae-")
        self._mine = mine

    def resume(self, model: str) -> tuple[State, dict[str, Tensors]] | None:
        """State and tensor groups of a model from this run's newest checkpoint; None without a checkpoint."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            model_folder = Path(folder, model)
            files = {path.stem: path for path in model_folder.glob("*.safetensors")}
            best = files.pop(Path(BEST).stem)
            if model in self._mine:
                shutil.copyfile(best, self._best(model))
            return _state(model_folder), {name: safetensors.torch.load_file(path) for name, path in files.items()}

    def keep_best(self, model: str, weights: Tensors) -> None:
        if model in self._mine:
            _write(weights, self._best(model))

    def save(self, models: Mapping[str, tuple[State, dict[str, Tensors]]]) -> None:
        """Report a checkpoint with the models of this worker; every worker must call this."""
        if not self._mine:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory() as folder:
            for model in self._mine:
                state, tensors = models[model]
                model_folder = Path(folder, model)
                model_folder.mkdir()
                for name, group in tensors.items():
                    _write(group, model_folder / f"{name}.safetensors")
                shutil.copyfile(self._best(model), model_folder / BEST)
                (model_folder / STATE).write_text(json.dumps(state))
            ray.train.report({}, checkpoint=Checkpoint.from_directory(folder))

    def load_best(self, model: str, weights: Tensors) -> None:
        """Copy the best weights into `weights` on every worker; the model must be owned by rank 0."""
        is_owner = model in self._mine
        best = safetensors.torch.load_file(self._best(model)) if is_owner else {}
        for name, value in weights.items():
            if is_owner:
                value.copy_(best[name])
            if dist.is_initialized() and dist.get_world_size() > 1:
                dist.broadcast(value, 0)

    def _best(self, model: str) -> Path:
        return Path(self._folder.name, f"{model}.safetensors")


def peak_bytes() -> int:
    """Peak resident memory so far, in bytes, over all workers; every worker must call this."""
    peak = torch.tensor(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # Linux counts in KiB
    if dist.is_initialized() and dist.get_world_size() > 1:
        peak = peak.to(device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(peak, dist.ReduceOp.MAX)
    return int(peak)


def _write(tensors: Tensors, path: Path) -> None:
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    safetensors.torch.save_file(on_cpu, path)


def _state(folder: Path) -> State:
    state: State = json.loads((folder / STATE).read_text())
    return state


def optimiser_tensors(optimisers: list[torch.optim.Optimizer]) -> Tensors:
    """The moments of Adam optimisers as named tensors."""
    return {
        f"{number}.{index}.{key}": torch.as_tensor(value)
        for number, optimiser in enumerate(optimisers)
        for index, moments in optimiser.state_dict()["state"].items()
        for key, value in moments.items()
    }


def load_optimisers(optimisers: list[torch.optim.Optimizer], tensors: Tensors) -> None:
    """The inverse of `optimiser_tensors`, onto optimisers over the same parameters."""
    for number, optimiser in enumerate(optimisers):
        state: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            owner, index, key = name.split(".")
            if int(owner) == number:
                # SparseAdam keeps `step` as a plain number; a tensor would round differently.
                as_int = key == "step" and isinstance(optimiser, torch.optim.SparseAdam)
                state.setdefault(int(index), {})[key] = int(value) if as_int else value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
