"""The small interface in front of the language model: a pool of vLLM engines that answers requests.

The engines are Ray actors; they start at the first question and end with the pool. It knows requests and answers, and
nothing of latents, evidence or concepts. Requests that share a beginning should stand next to each other: an engine
reads a shared prefix from its cache.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from recsae.concepts.vllm_worker import CPU_SEQUENCES, Answer, Engine, Request
from recsae.config import LlmConfig, ResourcesConfig

__all__ = ["Answer", "Engine", "EnginePool", "Request"]

log = logging.getLogger(__name__)

CHUNK = 192
"""Requests handed to an engine at once: enough to batch continuously, few enough to lose little to a kill."""
IN_FLIGHT = 2
"""Chunks that wait at each engine, so that it never waits for the driver."""
LOG_SECONDS = 5.0


class EnginePool:
    """`resources.llm_actors` engines behind one `ask`. An engine that dies is replaced and its chunks asked again."""

    def __init__(self, llm: LlmConfig, resources: ResourcesConfig, model_path: str) -> None:
        """`model_path` is what `locate_model` gave."""
        self._llm, self._resources, self._model = llm, resources, model_path
        self._engines: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        import ray

        for engine in self._engines:
            ray.kill(engine)
        self._engines.clear()

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Answer]]]:
        """Yield (indices, their answers) as chunks finish; `generate` is bound to the JSON schema where one is given.

        Raises ActorDiedError where an engine cannot start, or dies again and again.
        """
        if not requests:
            return
        import ray

        waiting = chunks(len(requests), self._resources.llm_actors)
        self._start(len(waiting))
        meter = Meter(len(requests), self._llm.model)
        # An engine gets work once it stands, so one that finds no room on the cluster holds nothing up.
        running: dict[Any, tuple[Any, range]] = {
            engine.__ray_ready__.remote(): (engine, range(0)) for engine in self._engines
        }
        share = max(1, min(IN_FLIGHT, len(waiting) // len(self._engines)))
        left, following = len(waiting), iter(waiting)
        while left:
            finished, _ = ray.wait(list(running), num_returns=1, timeout=LOG_SECONDS)
            meter.show()
            for reference in finished:
                engine, indices = running.pop(reference)
                answers = ray.get(reference)
                for chunk in islice(following, 1 if indices else share):
                    batch = [requests[index] for index in chunk]
                    running[engine.answer.remote(batch, schema)] = (engine, chunk)
                if not indices:
                    meter.start()
                    continue
                left -= 1
                meter.add(answers)
                yield indices, answers
        meter.finish()

    def _start(self, useful: int) -> None:
        import ray

        cuda = self._resources.device == "cuda"
        actor = ray.remote(Engine).options(
            num_cpus=1,
            num_gpus=1 if cuda else 0,
            max_restarts=8,
            max_task_retries=4,
            runtime_env={"env_vars": environment(self._resources, offline=Path(self._model).is_dir())},
        )
        while len(self._engines) < min(self._resources.llm_actors, useful):
            self._engines.append(actor.remote(self._llm, self._resources, self._model))


def chunks(count: int, engines: int) -> list[range]:
    """Requests 0 to `count` in runs of neighbours: full batches, and several an engine so that all finish together."""
    batch = min(CPU_SEQUENCES, math.ceil(count / engines))
    size = min(CHUNK, max(batch, math.ceil(count / (4 * engines))))
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def environment(resources: ResourcesConfig, *, offline: bool) -> dict[str, str]:
    """What an engine's process must find in its environment before vLLM is imported."""
    variables = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    if offline:
        variables["HF_HUB_OFFLINE"] = "1"
    if resources.device == "cpu":
        # One thread an engine: two that share a process slow each other down fourfold. Compiling costs 20 s at start.
        variables |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1"}
    return variables


class Meter:
    """The log's view of a run: done, rate and time left, now and then."""

    def __init__(self, total: int, model: str) -> None:
        self._total, self._model = total, model
        self._done = self._tokens = self._failed = 0
        self._asked = self._began = self._shown = time.monotonic()
        self._started = False

    def start(self) -> None:
        """An engine stands; the rate counts from the first."""
        if not self._started:
            self._started, self._began = True, time.monotonic()

    def add(self, answers: Sequence[Answer]) -> None:
        self._done += len(answers)
        self._tokens += sum(answer.tokens for answer in answers)
        self._failed += sum(answer.status != "ok" for answer in answers)

    def show(self) -> None:
        now = time.monotonic()
        if now - self._shown < LOG_SECONDS:
            return
        self._shown = now
        if not self._done:
            log.info("language model %s: 0 of %d, %.0f s", self._model, self._total, now - self._asked)
            return
        rate = self._done / (now - self._began)
        left = (self._total - self._done) / rate
        done = f"{self._done} of {self._total}"
        log.info("language model %s: %s, %.1f a second, %.0f s left", self._model, done, rate, left)

    def finish(self) -> None:
        log.info(
            "language model %s: %d requests, %d failed, %d tokens, %.1f s",
            self._model,
            self._done,
            self._failed,
            self._tokens,
            time.monotonic() - self._asked,
        )
