"""The table of stages: what each is called, what it does, what it reads, and what of the config changes its result.

Read this first, then base.py. A stage is a function `(config, inputs, out) -> metrics`: it reads what its inputs
committed, writes into its attempt, and returns figures. It does not know where the store is, nor when it runs: that is
runner.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recsae.activations.imported import given_content
from recsae.activations.stage import write_activations
from recsae.config.schema import Config
from recsae.data.stage import ingest, input_content
from recsae.dictionary.stage import write_dictionary
from recsae.evidence.stage import gather_evidence
from recsae.labels.stage import label_latents
from recsae.llm.model import model_content
from recsae.matching.stage import match_latents
from recsae.recommenders.external_files import foreign_content
from recsae.recommenders.stage import train_recommender
from recsae.report.stage import write_report
from recsae.sae.stage import train_sae
from recsae.scores.stage import score_concepts
from recsae.statistics.stage import measure_statistics
from recsae.steering.stage import measure_steering
from recsae.store.run_store import Attempt, Committed, Metrics

StageFunction = Callable[[Config, Mapping[str, Committed], Attempt], Metrics]


def _nothing(config: Config) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Stage:
    """One stage: what it is called, what it does, what it reads, and what of the config changes its result."""

    name: str
    run: StageFunction
    inputs: tuple[str, ...]
    config: tuple[str, ...]
    version: int = 1
    content: Callable[[Config], Mapping[str, str]] = _nothing
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
            ingest,
            (),
            ("seed", "data", "split", "cases"),
            version=2,
            content=input_content,
            last=("ingest",),
        ),
        Stage(
            "recommender",
            train_recommender,
            ("ingest",),
            ("seed", "recommender", "ranking"),
            content=foreign_content,
            last=("recommender",),
            nights=("recommender", "epochs"),
        ),
        Stage("activations", write_activations, ("ingest", "recommender"), ("probe",), content=given_content),
        Stage(
            "sae",
            train_sae,
            ("ingest", "recommender", "activations"),
            ("seed", "sae", "ranking", "probe"),
            version=2,
            last=("recommender", "sae"),
            nights=("sae", "steps"),
        ),
        Stage(
            "matching",
            match_latents,
            ("recommender", "activations", "sae"),
            ("seed", "probe"),
            last=("recommender", "activations", "sae", "matching"),
            nights=("match",),
        ),
        Stage("evidence", gather_evidence, ("ingest", "activations", "sae"), ("seed", "evidence", "probe"), version=2),
        Stage("statistics", measure_statistics, ("ingest", "activations", "sae"), ("seed", "statistics", "probe")),
        Stage(
            "labels",
            label_latents,
            ("ingest", "matching", "evidence"),
            ("seed", "labels", "llm", "probe"),
            version=3,
            content=model_content,
            last=("ingest", "matching", "labels", "scores"),
            nights=("unchanged",),
            asks=True,
        ),
        Stage(
            "scores",
            score_concepts,
            ("ingest", "activations", "sae", "evidence", "labels"),
            ("seed", "scores", "llm", "probe"),
            version=2,
            content=model_content,
            last=("ingest", "scores"),
            asks=True,
        ),
        Stage(
            "steering",
            measure_steering,
            ("ingest", "recommender", "activations", "sae", "labels", "scores"),
            ("seed", "steering", "ranking", "probe"),
        ),
        Stage(
            "concepts",
            write_dictionary,
            (
                "ingest",
                "recommender",
                "sae",
                "matching",
                "evidence",
                "statistics",
                "labels",
                "scores",
                "steering",
            ),
            ("probe", "llm", "steering"),
            version=5,
            last=("concepts",),
            nights=("unchanged",),
        ),
        Stage(
            "report",
            write_report,
            (
                "ingest",
                "recommender",
                "activations",
                "sae",
                "evidence",
                "statistics",
                "labels",
                "scores",
                "steering",
                "concepts",
            ),
            ("name", "seed", "report"),
            version=7,
        ),
    )
}
