"""A pool of vLLM engines that answers requests.

The engines are Ray actors; they start at the first question and end with the pool, or, within `shared_engines`, with
the last of several pools. Requests that share a prompt should stand next to each other: an engine that gets them
together reads it once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, ClassVar, Self

from recsae.config.concepts import LlmConfig
from recsae.config.schema import ResourcesConfig
from recsae.llm import sharing
from recsae.llm.engine import CPU_SEQUENCES, Completion, Engine, Request, Spent
from recsae.observability import context, progress
from recsae.store.filesystem import as_json

__all__ = ["Completion", "Engine", "EnginePool", "Request", "Spent"]

log = logging.getLogger(__name__)

CHUNK = 192
"""Requests handed to an engine at once: enough to batch continuously, few enough to lose little to a kill."""
LIKELIHOODS = 768
"""The same for likelihoods, of which several take one request of the engine's."""
IN_FLIGHT = 2
"""Chunks that wait at each engine, so that it never waits for the driver."""
WAIT_SECONDS = 5.0
"""How long one wait takes at most, so that a signal is handled."""


class EnginePool:
    """`resources.llm_actors` engines behind one `ask`. An engine that dies is replaced and its chunks asked again."""

    engine: ClassVar[type[Engine]] = Engine

    def __init__(self, llm: LlmConfig, resources: ResourcesConfig, model_path: str) -> None:
        """`model_path` is what `locate_model` gave."""
        self._llm, self._resources, self._model = llm, resources, model_path
        self._engines: list[Any] = []
        self.spent = Spent()
        """By all answers so far; work that a kill undid is not in it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *exception: object) -> None:
        if failed:  # it may have left an engine at work, or none that can
            sharing.kill(self._engines)
        else:
            sharing.give_back(self._kind(), self._engines)
        self._engines.clear()

    def _kind(self) -> tuple[type[Engine], bytes]:
        """What makes two engines the same."""
        own = self._resources.model_dump(include={"device", "llm_memory_gb"})
        return self.engine, as_json([self._llm.recorded(), own, self._model])

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        """Yield (indices, their answers) as chunks finish; `generate` is bound to the JSON schema where one is given.

        Raises ActorDiedError where an engine cannot start, or dies again and again.
        """
        if not requests:
            return
        import ray

        waiting = chunks(requests, self._resources.llm_actors)
        self._start(len(waiting))
        meter = Meter(self._llm.model)
        progress.wait_for("starting the language model")
        # An engine gets work once it stands, so one that finds no room on the cluster holds nothing up.
        running: dict[Any, tuple[Any, range]] = {
            engine.__ray_ready__.remote(): (engine, range(0)) for engine in self._engines
        }
        share = max(1, min(IN_FLIGHT, len(waiting) // len(self._engines)))
        left, following = len(waiting), iter(waiting)
        while left:
            finished, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_SECONDS)
            for reference in finished:
                engine, indices = running.pop(reference)
                told = ray.get(reference)
                for chunk in islice(following, 1 if indices else share):
                    batch = [requests[index] for index in chunk]
                    running[engine.answer.remote(batch, schema)] = (engine, chunk)
                if not indices:
                    meter.start()
                    continue
                answers, spent = told
                self.spent = self.spent.plus(spent)
                left -= 1
                meter.add(answers)
                yield indices, answers
        meter.finish()

    def _start(self, useful: int) -> None:
        import ray

        cuda = self._resources.device == "cuda"
        actor = ray.remote(self.engine).options(
            num_cpus=1,
            num_gpus=1 if cuda else 0,
            max_restarts=8,
            max_task_retries=4,
            runtime_env={"env_vars": environment(self._resources, offline=Path(self._model).is_dir())},
        )
        waiting = sharing.waiting(self._kind())
        while len(self._engines) < min(self._resources.llm_actors, useful):
            again = waiting.pop() if waiting else actor.remote(self._llm, self._resources, self._model)
            self._engines.append(again)


def chunks(requests: Sequence[Request], engines: int) -> list[range]:
    """The requests in runs of neighbours: large at first, smaller towards the end so that all engines finish together.

    Likelihoods of one prompt stay together where they are not too many.
    """
    found: list[range] = []
    first = last = 0
    for (likelihoods, _), run in groupby(enumerate(requests), key=_together):
        most, least = (LIKELIHOODS, LIKELIHOODS // 3) if likelihoods else (CHUNK, CPU_SEQUENCES)
        left = len(requests) - first
        fair = max(min(least, math.ceil(len(requests) / engines)), math.ceil(left / (2 * engines)))
        size = len(list(run))
        if last > first and last + size - first > min(fair, most):
            found.append(range(first, last))
            first = last
        last += size
        while last - first >= most:
            found.append(range(first, first + most))
            first += most
    return [*found, range(first, last)] if last > first else found


def _together(numbered: tuple[int, Request]) -> tuple[bool, object]:
    number, request = numbered
    likelihood = request.kind == "loglikelihood"
    return likelihood, request.prompt if likelihood else number


def environment(resources: ResourcesConfig, *, offline: bool) -> dict[str, str]:
    """What an engine's process must find in its environment before vLLM is imported."""
    variables = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_USE_V2_MODEL_RUNNER": "0",  # the CPU has the other one only, and each takes logits processors of its own
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
    """Counts the answers of a run for progress, Prometheus and the log."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._answered = self._tokens = self._failed = 0
        self._asked = self._began = time.monotonic()
        self._started = False

    def start(self) -> None:
        """An engine is ready; rates count from the first one."""
        if not self._started:
            self._started, self._began = True, time.monotonic()
            progress.wait_for("")

    def add(self, answers: Sequence[Completion]) -> None:
        self._answered += len(answers)
        self._tokens += sum(answer.tokens for answer in answers)
        self._failed += sum(answer.status != "ok" for answer in answers)
        progress.advance(len(answers))
        context.answered(len(answers), self._answered / max(time.monotonic() - self._began, 1e-9))

    def finish(self) -> None:
        context.answered(0, 0.0)
        log.info(
            "language model %s: %d requests, %d failed, %d tokens, %.1f s",
            self._model,
            self._answered,
            self._failed,
            self._tokens,
            time.monotonic() - self._asked,
        )
