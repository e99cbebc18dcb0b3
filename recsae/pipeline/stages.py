"""The table of stages: what each is called, what it does, what it reads, and what of the config changes its result.

Read this first, then runner.py, which decides when a stage runs and where its results lie. A stage is a function
`(config, inputs, out) -> metrics` in `recsae/<package>/stage.py`: it reads what its inputs committed, writes into its
attempt and returns figures. The table names its functions and loads them when they are called, so commands that only
read the store import neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recsae.config.schema import Config
from recsae.store.run_store import Attempt, Committed, Metrics

StageFunction = Callable[[Config, Mapping[str, Committed], Attempt], Metrics]
ContentFunction = Callable[[Config], Mapping[str, str]]


@dataclass(frozen=True)
class Lazy:
    """A function that is imported when it is called."""

    path: str
    """`module:function`."""

    def load(self) -> Callable[..., Any]:
        module, _, name = self.path.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function

    def __call__(self, *arguments: Any) -> Any:
        return self.load()(*arguments)


def _nothing(config: Config) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Stage:
    """One stage: what it is called, what it does, what it reads, and what of the config changes its result."""

    name: str
    run: StageFunction
    inputs: tuple[str, ...]
    """Stages of this night that it reads."""
    config: tuple[str, ...]
    """Sections and top-level keys of the config that change its result."""
    version: int = 1
    """Raised with every change of its code that changes its result."""
    content: ContentFunction = _nothing
    """Checksums of what it reads from outside the store."""
    last: tuple[str, ...] = ()
    """Stages of the night that is served which it reads as well, where the config has `[nights]`."""
    nights: tuple[str, ...] = ()
    """Keys of `[nights]` that change its result where there was such a night."""
    asks: bool = False
    """Whether it asks the language model; neighbours that do share its engines."""


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "ingest",
            Lazy("recsae.data.stage:ingest"),
            inputs=(),
            config=("seed", "data", "split", "cases"),
            version=2,
            content=Lazy("recsae.data.formats:input_content"),
            last=("ingest",),
        ),
        Stage(
            "recommender",
            Lazy("recsae.recommenders.stage:train_recommender"),
            inputs=("ingest",),
            config=("seed", "recommender", "ranking"),
            content=Lazy("recsae.recommenders.external_sources:external_content"),
            last=("recommender",),
            nights=("recommender", "epochs"),
        ),
        Stage(
            "activations",
            Lazy("recsae.activations.stage:write_activations"),
            inputs=("ingest", "recommender"),
            config=("probe",),
            content=Lazy("recsae.activations.imported_sources:imported_content"),
        ),
        Stage(
            "sae",
            Lazy("recsae.sae.stage:train_sae"),
            inputs=("ingest", "recommender", "activations"),
            config=("seed", "sae", "ranking", "probe"),
            version=2,
            last=("recommender", "sae"),
            nights=("sae", "steps"),
        ),
        Stage(
            "matching",
            Lazy("recsae.matching.stage:match_latents"),
            inputs=("recommender", "activations", "sae"),
            config=("seed", "probe"),
            last=("recommender", "activations", "sae", "matching"),
            nights=("match_threshold",),
        ),
        Stage(
            "evidence",
            Lazy("recsae.evidence.stage:gather_evidence"),
            inputs=("ingest", "activations", "sae"),
            config=("seed", "evidence", "probe"),
            version=3,
        ),
        Stage(
            "statistics",
            Lazy("recsae.statistics.stage:measure_statistics"),
            inputs=("ingest", "activations", "sae"),
            config=("seed", "statistics", "probe"),
        ),
        Stage(
            "statements",
            Lazy("recsae.statements.stage:describe_latents"),
            inputs=("ingest", "recommender", "activations", "sae", "evidence"),
            config=("seed", "probe"),
            version=8,
        ),
        Stage(
            "labels",
            Lazy("recsae.labels.stage:label_latents"),
            inputs=("ingest", "matching", "evidence", "statements"),
            config=("seed", "labels", "llm", "probe"),
            version=8,
            content=Lazy("recsae.llm.model:model_content"),
            last=("ingest", "matching", "labels", "scores"),
            nights=("label_reuse_jaccard",),
            asks=True,
        ),
        Stage(
            "scores",
            Lazy("recsae.scores.stage:score_concepts"),
            inputs=("ingest", "activations", "sae", "evidence", "labels"),
            config=("seed", "scores", "llm", "probe"),
            version=4,
            content=Lazy("recsae.llm.model:model_content"),
            last=("ingest", "scores"),
            asks=True,
        ),
        Stage(
            "steering",
            Lazy("recsae.steering.stage:measure_steering"),
            inputs=("ingest", "recommender", "activations", "sae", "evidence", "statements", "labels", "scores"),
            config=("seed", "steering", "ranking", "probe"),
            version=3,
        ),
        Stage(
            "concepts",
            Lazy("recsae.dictionary.stage:write_dictionary"),
            inputs=(
                "ingest",
                "recommender",
                "sae",
                "matching",
                "evidence",
                "statistics",
                "statements",
                "labels",
                "scores",
                "steering",
            ),
            config=("probe", "llm", "steering"),
            version=7,
            last=("ingest", "statements", "concepts"),
            nights=("label_reuse_jaccard",),
        ),
        Stage(
            "report",
            Lazy("recsae.report.stage:write_report"),
            inputs=(
                "ingest",
                "recommender",
                "activations",
                "sae",
                "evidence",
                "statistics",
                "statements",
                "labels",
                "scores",
                "steering",
                "concepts",
            ),
            config=("name", "seed", "report"),
            version=8,
        ),
    )
}


def load_functions(names: Iterable[str]) -> None:
    """Import the functions of these stages, before Ray is joined.

    A node's agent may unpack a submitted job's working directory again while the job runs; it deletes the folder first.
    """
    for name in names:
        function = STAGES[name].run
        if isinstance(function, Lazy):
            function.load()
