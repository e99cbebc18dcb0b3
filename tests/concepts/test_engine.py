"""What the pool does without Ray: cutting requests into chunks, and the environment of an engine."""

from __future__ import annotations

import pytest

from recsae.concepts.engine import CHUNK, EnginePool, chunks, environment
from recsae.config import LlmConfig, ResourcesConfig


@pytest.mark.parametrize("engines", [1, 2, 8])
@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000, 10_001])
def test_chunks_cover_all_requests_in_order(count: int, engines: int) -> None:
    cut = chunks(count, engines)
    assert [index for chunk in cut for index in chunk] == list(range(count))
    assert max(len(chunk) for chunk in cut) <= CHUNK


def test_chunks_keep_every_engine_busy_with_full_batches() -> None:
    assert [len(chunk) for chunk in chunks(128, 2)] == [64, 64]
    assert [len(chunk) for chunk in chunks(10, 2)] == [5, 5]
    assert len(chunks(1200, 2)) == 8


def test_no_requests_start_no_engine() -> None:
    with EnginePool(LlmConfig(), ResourcesConfig(), "nowhere") as pool:
        assert list(pool.ask([])) == []


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
