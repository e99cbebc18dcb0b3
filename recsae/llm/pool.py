"""A pool of vLLM engines that answers requests.

The engines are Ray actors. They start at the first request and stop with the pool, or, within `shared_engines`, with
that block. Keep requests that share a prompt adjacent: an engine that gets them together reads the prompt once.
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
from recsae.llm.engine import CPU_SEQUENCES, Completion, Engine, EngineUsage, Request
from recsae.observability import context, progress
from recsae.store.filesystem import as_json

__all__ = ["Completion", "Engine", "EnginePool", "EngineUsage", "Request"]

log = logging.getLogger(__name__)

CHUNK = 192
"""Requests per call to an engine: enough for continuous batching, few enough that a killed process loses little."""
LIKELIHOOD_CHUNK = 768
"""The same for log-likelihoods, several of which share one engine request."""
IN_FLIGHT = 2
"""Chunks queued at each engine, so that it never waits for the driver."""
WAIT_SECONDS = 5.0
"""Maximum seconds per wait, so that signals are handled."""


class EnginePool:
    """`resources.llm_actors` engines behind one `ask`. A dead engine is restarted and its chunks are retried."""

    engine: ClassVar[type[Engine]] = Engine

    def __init__(self, llm: LlmConfig, resources: ResourcesConfig, model_path: str) -> None:
        """`model_path` is the result of `locate_model`."""
        self._llm, self._resources, self._model = llm, resources, model_path
        self._engines: list[Any] = []
        self.usage = EngineUsage()
        """Total over all completed chunks; lost work is not counted."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *exception: object) -> None:
        if failed:  # engines may be busy or dead
            sharing.kill(self._engines)
        else:
            sharing.release(self._kind(), self._engines)
        self._engines.clear()

    def _kind(self) -> tuple[type[Engine], bytes]:
        """The key under which engines are interchangeable."""
        own = self._resources.model_dump(include={"device", "llm_memory_gb"})
        return self.engine, as_json([self._llm.recorded(), own, self._model])

    def ask(
        self, requests: Sequence[Request], schema: dict[str, Any] | None = None
    ) -> Iterator[tuple[range, list[Completion]]]:
        """Yield (indices, answers) as chunks finish; the JSON schema, if given, constrains `generate`.

        Raises ActorDiedError if an engine cannot start or keeps dying.
        """
        if not requests:
            return
        import ray

        waiting = chunks(requests, self._resources.llm_actors)
        self._start(len(waiting))
        meter = Meter(self._llm.model)
        progress.wait_for("starting the language model")
        # Only ready engines get work, so an engine that the cluster cannot place delays nothing.
        running: dict[Any, tuple[Any, range]] = {
            engine.__ray_ready__.remote(): (engine, range(0)) for engine in self._engines
        }
        share = max(1, min(IN_FLIGHT, len(waiting) // len(self._engines)))
        left, queue = len(waiting), iter(waiting)
        while left:
            finished, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_SECONDS)
            for reference in finished:
                engine, indices = running.pop(reference)
                result = ray.get(reference)
                for chunk in islice(queue, 1 if indices else share):
                    batch = [requests[index] for index in chunk]
                    running[engine.answer.remote(batch, schema)] = (engine, chunk)
                if not indices:
                    meter.start()
                    continue
                answers, usage = result
                self.usage = self.usage.plus(usage)
                left -= 1
                meter.add(answers)
                yield indices, answers
        meter.finish()

    def _start(self, max_useful: int) -> None:
        import ray

        cuda = self._resources.device == "cuda"
        actor = ray.remote(self.engine).options(
            num_cpus=1,
            num_gpus=1 if cuda else 0,
            max_restarts=8,
            max_task_retries=4,
            runtime_env={"env_vars": environment(self._resources, offline=Path(self._model).is_dir())},
        )
        idle = sharing.idle_engines(self._kind())
        while len(self._engines) < min(self._resources.llm_actors, max_useful):
            engine = idle.pop() if idle else actor.remote(self._llm, self._resources, self._model)
            self._engines.append(engine)


def chunks(requests: Sequence[Request], engines: int) -> list[range]:
    """Ranges of adjacent requests: large at first, smaller towards the end so that all engines finish together.

    Log-likelihoods of one prompt stay in one chunk up to its size limit.
    """
    found: list[range] = []
    first = last = 0
    for (likelihoods, _), run in groupby(enumerate(requests), key=_chunk_key):
        most, least = (LIKELIHOOD_CHUNK, LIKELIHOOD_CHUNK // 3) if likelihoods else (CHUNK, CPU_SEQUENCES)
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


def _chunk_key(numbered: tuple[int, Request]) -> tuple[bool, object]:
    number, request = numbered
    likelihood = request.kind == "loglikelihood"
    return likelihood, request.prompt if likelihood else number


def environment(resources: ResourcesConfig, *, offline: bool) -> dict[str, str]:
    """Environment variables that an engine's process needs before it imports vLLM."""
    variables = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_USE_V2_MODEL_RUNNER": "0",  # the CPU has only the V1 runner, and logits processors differ between the two
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    if offline:
        variables["HF_HUB_OFFLINE"] = "1"
    if resources.device == "cpu":
        # One thread per engine: two threads in a process run four times slower. Compiling adds 20 s to the start.
        variables |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1"}
    return variables


class Meter:
    """Counts answers for progress, Prometheus and the log."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._n_answered = self._tokens = self._failed = 0
        self._created_at = self._started_at = time.monotonic()
        self._started = False

    def start(self) -> None:
        """Start the clock for rates; call it whenever an engine is ready, only the first call counts."""
        if not self._started:
            self._started, self._started_at = True, time.monotonic()
            progress.wait_for("")

    def add(self, answers: Sequence[Completion]) -> None:
        self._n_answered += len(answers)
        self._tokens += sum(answer.tokens for answer in answers)
        self._failed += sum(answer.status != "ok" for answer in answers)
        progress.advance(len(answers))
        context.questions_answered(len(answers), self._n_answered / max(time.monotonic() - self._started_at, 1e-9))

    def finish(self) -> None:
        context.questions_answered(0, 0.0)
        log.info(
            "language model %s: %d requests, %d failed, %d tokens, %.1f s",
            self._model,
            self._n_answered,
            self._failed,
            self._tokens,
            time.monotonic() - self._created_at,
        )
