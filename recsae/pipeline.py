"""The table of stages, and the only place that orders, skips and commits them.

Read this first, then schemas.py. A stage is a function `(config, inputs, out) -> metrics`: it reads what its inputs
committed, writes into its attempt, and returns figures. It does not know where the store is.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recsae.concepts.dictionary import write_dictionary
from recsae.concepts.gathering import gather_evidence
from recsae.concepts.labelling import label_latents
from recsae.concepts.scoring import score_concepts
from recsae.concepts.statistics import measure_statistics
from recsae.config import Config
from recsae.data.ingest import ingest, input_content
from recsae.errors import BadInput
from recsae.llm.model import model_content
from recsae.probing.activations import write_activations
from recsae.probing.given import given_content
from recsae.recommenders.foreign_files import foreign_content
from recsae.recommenders.stage import train_recommender
from recsae.report.page import write_report
from recsae.sae.stage import train_sae
from recsae.steering.stage import measure_steering
from recsae.store.away import is_away
from recsae.store.folder import as_json
from recsae.store.runs import Attempt, Committed, Metrics, RunStore
from recsae.store.shown import shown

log = logging.getLogger(__name__)

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


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("ingest", ingest, (), ("seed", "data", "split", "cases"), content=input_content),
        Stage(
            "recommender", train_recommender, ("ingest",), ("seed", "recommender", "ranking"), content=foreign_content
        ),
        Stage("activations", write_activations, ("ingest", "recommender"), ("probe",), content=given_content),
        Stage(
            "sae",
            train_sae,
            ("ingest", "recommender", "activations"),
            ("seed", "sae", "ranking", "probe"),
            version=2,
        ),
        Stage("evidence", gather_evidence, ("ingest", "activations", "sae"), ("seed", "evidence", "probe"), version=2),
        Stage("statistics", measure_statistics, ("ingest", "activations", "sae"), ("seed", "statistics", "probe")),
        Stage(
            "labels",
            label_latents,
            ("ingest", "evidence"),
            ("seed", "labels", "llm", "probe"),
            version=2,
            content=model_content,
        ),
        Stage(
            "scores",
            score_concepts,
            ("ingest", "activations", "sae", "evidence", "labels"),
            ("seed", "scores", "llm", "probe"),
            version=2,
            content=model_content,
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
            ("ingest", "recommender", "sae", "evidence", "statistics", "labels", "scores", "steering"),
            ("probe", "llm", "steering"),
            version=3,
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
            ("name",),
            version=3,
        ),
    )
}


def _shown(value: Any) -> Any:
    """The same without credentials in its URIs: a manifest keeps none, and new ones make nothing anew."""
    if isinstance(value, dict):
        return {key: _shown(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_shown(held) for held in value]
    return shown(value) if isinstance(value, str) and "://" in value else value


class Pipeline:
    """The stages of one config over one store."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = RunStore(config.store.root, config.name)
        self._fingerprints: dict[str, str] = {}
        self._contents: dict[Callable[[Config], Mapping[str, str]], Mapping[str, str]] = {}

    def fingerprint(self, name: str) -> str:
        """What decides the result of a stage: its version, its slice of the config, and its inputs' fingerprints."""
        if name not in self._fingerprints:
            stage = STAGES[name]
            if stage.content not in self._contents:
                self._contents[stage.content] = stage.content(self.config)
            facts = {
                "stage": name,
                "version": stage.version,
                "config": self._slice(stage),
                "content": self._contents[stage.content],
                "inputs": {need: self.fingerprint(need) for need in stage.inputs},
            }
            self._fingerprints[name] = hashlib.sha256(as_json(facts)).hexdigest()[:20]
        return self._fingerprints[name]

    def _slice(self, stage: Stage) -> dict[str, Any]:
        slice_: dict[str, Any] = _shown(self.config.model_dump(mode="json", include=set(stage.config)))
        return slice_

    def committed(self, name: str) -> Committed | None:
        return self.store.committed(name, self.fingerprint(name))

    def run(self, name: str) -> Committed:
        """Run one stage unless its result is there.

        Raises BadInput where an input has not been committed yet.
        """
        done = self.committed(name)
        if done:
            log.info("%s: committed already (%s), skipped", name, done.fingerprint)
            return done
        inputs = self.inputs(name)
        self.store.check_writable()
        return self._work(STAGES[name], inputs)

    def has_work(self, name: str) -> bool:
        """Whether `run` would execute the stage. Raises BadInput where an input has not been committed yet."""
        if self.committed(name):
            return False
        self.inputs(name)
        return True

    def inputs(self, name: str) -> dict[str, Committed]:
        """What a stage reads. Raises BadInput where it has not been committed yet."""
        inputs: dict[str, Committed] = {}
        for need in STAGES[name].inputs:
            found = self.committed(need)
            if found is None:
                raise BadInput(
                    f"stage {name} needs {need}, which this config has not made yet; "
                    f"run `python -m jobs.{need}` first, or `python -m jobs.nightly` for all"
                )
            inputs[need] = found
        return inputs

    def _work(self, stage: Stage, inputs: Mapping[str, Committed]) -> Committed:
        """Hold the stage's lease, attempt it and commit; wait where another attempt is at work."""
        fingerprint = self.fingerprint(stage.name)
        lease = self.store.lease(stage.name, fingerprint, self.config.resources.lease_seconds)
        waited = 0
        while not lease.try_acquire():
            if waited % 5 == 0:
                log.info("%s: another attempt holds the lease; waiting for its result or its end", stage.name)
            time.sleep(1)
            waited += 1
            done = self.committed(stage.name)
            if done:
                return done
        attempt = self.store.attempt(stage.name, fingerprint, lease)
        try:
            done = self.committed(stage.name)  # by another that finished and let go since we last looked
            if done:
                return done
            log.info("%s: started (%s)", stage.name, fingerprint)
            start = time.monotonic()
            metrics = stage.run(self.config, inputs, attempt)
            seconds = time.monotonic() - start
            done = self.store.commit(
                stage.name,
                attempt,
                {
                    "version": stage.version,
                    "config": self._slice(stage),
                    "inputs": {need: found.fingerprint for need, found in inputs.items()},
                    "metrics": metrics,
                    "seconds": round(seconds, 3),
                },
            )
        except BaseException as error:
            if not is_away(error):  # or whatever it is asked next would wait as long again
                self.store.discard(stage.name, attempt)
            raise
        finally:
            lease.release()
        size = sum(file["bytes"] for file in done.manifest["files"]) / 2**20
        log.info("%s: done in %.1f s, %d files, %.1f MiB", stage.name, seconds, len(done.files()), size)
        return done

    def publish(self) -> Mapping[str, Any]:
        """Serve what this config made; all stages must be committed."""
        done = {name: self.committed(name) for name in STAGES}
        missing = [name for name, found in done.items() if found is None]
        if missing:
            raise BadInput(
                f"nothing to publish: {missing[0]} has not been made; run `python -m jobs.{missing[0]}` first"
            )
        concepts, report = done["concepts"], done["report"]
        assert concepts is not None and report is not None
        return self.store.publish(
            {name: self.fingerprint(name) for name in STAGES},
            shown(concepts.data.child(concepts.files("concepts")[0]).uri),
            shown(report.data.child(report.files("report")[0]).uri),
        )
