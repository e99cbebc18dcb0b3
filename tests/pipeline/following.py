"""Nights over made-up stages that read what last night made, in one store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.pipeline import runner
from recsae.pipeline.runner import Pipeline
from recsae.pipeline.stages import Stage
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

ORDER = ["ingest", "recommender", "sae", "matching", "concepts", "report"]
FIGURES: dict[str, Metrics] = {
    "recommender": {"kind": "sasrec", "test": {"ndcg@10": 0.2}},
    "sae": {"fvu": 0.1, "dead_share": 0.0, "fidelity": {"rows": {"sae": {"ndcg@10_kept": 0.99}}}},
    "concepts": {"interpretable": 5, "latents": 10},
}


class Following:
    """Six stages that write one file each, what they read of last night, and which of them ran."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.executed: list[str] = []
        self.read: dict[str, list[str]] = {}
        self.figures = {name: dict(told) for name, told in FIGURES.items()}
        self.events = "monday"
        self.nights: dict[str, Any] | None = {"keep": 3}
        monkeypatch.setattr(runner, "STAGES", self.stages())

    def stages(self) -> dict[str, Stage]:
        def stage(name: str, inputs: tuple[str, ...], *config: str, **more: Any) -> Stage:
            def run(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
                self.executed.append(name)
                self.read[name] = [key.removeprefix(PREVIOUS) for key in inputs if key.startswith(PREVIOUS)]
                out.data.put(f"{name}.txt", f"{name} of {self.events}".encode())
                return self.figures.get(name, {})

            return Stage(name, run, inputs, config, **more)

        return {
            "ingest": stage("ingest", (), "seed", content=lambda config: {"events": self.events}, last=("ingest",)),
            "recommender": stage("recommender", ("ingest",), last=("recommender",), nights=("recommender", "epochs")),
            "sae": stage("sae", ("recommender",), "sae", last=("recommender", "sae"), nights=("sae", "steps")),
            "matching": stage("matching", ("sae",), last=("sae", "matching"), nights=("match_threshold",)),
            "concepts": stage("concepts", ("matching",), "steering", last=("concepts",)),
            "report": stage("report", ("concepts",), "name"),
        }

    def pipeline(self, **sections: Any) -> Pipeline:
        given = {"name": "shop", "store": {"root": str(self.folder / "runs")}, **sections}
        return Pipeline(Config.model_validate({**given, "nights": self.nights} if self.nights is not None else given))

    def run(self, **sections: Any) -> list[str]:
        """What a driver of tonight executes."""
        self.executed.clear()
        driver = self.pipeline(**sections)
        for name in ORDER:
            driver.run(name)
        return list(self.executed)

    def night(self, events: str, **sections: Any) -> Mapping[str, Any]:
        """Run and publish one."""
        self.events = events
        self.run(**sections)
        return self.pipeline(**sections).publish()
