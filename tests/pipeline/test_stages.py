"""The table of stages follows one rule, and reading it loads no stage."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from recsae.pipeline.stages import STAGES, Lazy, Stage

PACKAGES = {"ingest": "data", "recommender": "recommenders", "concepts": "dictionary"}
"""Of stages that are not called as their package."""
HEAVY = ("torch", "ray", "numba", "pandas", "scipy", "duckdb", "vllm", "jinja2", "fsspec")


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_each_stage_is_a_function_of_its_packages_stage_module(stage: Stage) -> None:
    assert isinstance(stage.run, Lazy)
    assert stage.run.path.startswith(f"recsae.{PACKAGES.get(stage.name, stage.name)}.stage:")
    assert list(inspect.signature(stage.run.load()).parameters) == ["config", "inputs", "out"]


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_what_reads_a_stages_files_exists_and_takes_the_config(stage: Stage) -> None:
    content = stage.content.load() if isinstance(stage.content, Lazy) else stage.content
    assert list(inspect.signature(content).parameters) == ["config"]


@pytest.mark.parametrize(
    "module",
    [
        "recsae.config.docs",
        "recsae.config.loader",
        "recsae.pipeline.run_lock",
        "recsae.pipeline.runner",
        "recsae.pipeline.status",
        "recsae.store.run_store",
        "recsae.llm.sharing",
        *sorted({stage.content.path.partition(":")[0] for stage in STAGES.values() if isinstance(stage.content, Lazy)}),
    ],
)
def test_what_a_skipped_night_and_commands_that_read_the_store_need_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_config_needs_no_pyarrow() -> None:
    code = "import sys, recsae.config.docs, recsae.config.loader; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
