"""What the pool does without Ray: cutting requests into chunks, an engine's environment, and the line in the log."""

from __future__ import annotations

from itertools import pairwise

import pytest

from recsae.config.concepts import LlmConfig
from recsae.config.schema import ResourcesConfig
from recsae.llm.pool import CHUNK, LIKELIHOOD_CHUNK, EnginePool, EngineUsage, Request, chunks, environment


def names(count: int) -> list[Request]:
    return [Request("generate", f"name {number}") for number in range(count)]


def likelihoods(*counts: int) -> list[Request]:
    """So many continuations of each prompt."""
    return [
        Request("loglikelihood", f"item {item}", f" {word}")
        for item, count in enumerate(counts)
        for word in range(count)
    ]


@pytest.mark.parametrize("engines", [1, 2, 8])
@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000, 10_001])
def test_chunks_cover_all_requests_in_order(count: int, engines: int) -> None:
    cut = chunks(names(count), engines)
    assert [index for chunk in cut for index in chunk] == list(range(count))
    assert max(len(chunk) for chunk in cut) <= CHUNK


def test_chunks_keep_every_engine_busy_with_full_batches() -> None:
    assert [len(chunk) for chunk in chunks(names(128), 2)] == [64, 64]
    assert [len(chunk) for chunk in chunks(names(10), 2)] == [5, 5]
    assert [len(chunk) for chunk in chunks(likelihoods(*[10] * 8), 2)] == [40, 40]


def test_chunks_shrink_so_that_all_engines_finish_together() -> None:
    sizes = [len(chunk) for chunk in chunks(names(2000), 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == CHUNK and sizes[-2] == 64


@pytest.mark.parametrize("engines", [1, 2, 8])
def test_chunks_hold_whole_prompts(engines: int) -> None:
    requests = likelihoods(*[70 + item % 40 for item in range(200)])
    cut = chunks(requests, engines)
    assert [index for chunk in cut for index in chunk] == list(range(len(requests)))
    for before, after in pairwise(cut):
        assert requests[before[-1]].prompt != requests[after[0]].prompt
    assert max(len(chunk) for chunk in cut) <= LIKELIHOOD_CHUNK
    assert len(cut) >= 4 * engines


def test_a_prompt_with_too_many_continuations_is_cut() -> None:
    requests = likelihoods(10, 2 * LIKELIHOOD_CHUNK + 5, 10)
    cut = chunks(requests, 2)
    assert [index for chunk in cut for index in chunk] == list(range(len(requests)))
    assert [len(chunk) for chunk in cut] == [10, LIKELIHOOD_CHUNK, LIKELIHOOD_CHUNK, 15]


def test_no_requests_start_no_engine() -> None:
    with EnginePool(LlmConfig(), ResourcesConfig(), "nowhere") as pool:
        assert list(pool.ask([])) == []
        assert pool.usage == EngineUsage()


def test_usage_adds_up() -> None:
    assert EngineUsage(10, 4, 2, 0.5).plus(EngineUsage(1, 0, 3, 0.25)) == EngineUsage(11, 4, 5, 0.75)


def test_engine_on_the_cpu_has_one_thread_and_does_not_compile() -> None:
    variables = environment(ResourcesConfig(device="cpu"), offline=True)
    assert variables["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["TORCH_COMPILE_DISABLE"] == "1"
    assert variables["HF_HUB_OFFLINE"] == "1"


def test_engine_on_a_gpu_is_left_to_its_own_settings() -> None:
    variables = environment(ResourcesConfig(device="cuda"), offline=False)
    assert not {"OMP_NUM_THREADS", "TORCH_COMPILE_DISABLE", "VLLM_CPU_OMP_THREADS_BIND"} & set(variables)
    assert "HF_HUB_OFFLINE" not in variables


def test_every_device_runs_what_takes_our_logits_processor() -> None:
    for device in ("cpu", "cuda"):
        variables = environment(ResourcesConfig(device=device), offline=False)  # type: ignore[arg-type]
        assert variables["VLLM_USE_V2_MODEL_RUNNER"] == "0"
