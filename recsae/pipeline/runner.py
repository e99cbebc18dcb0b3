"""The pipeline of one config over one store: orders, skips, runs and commits the stages of stages.py.

With `[nights]` a stage may read the results of the served night, and unchanged stages are reused from it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from recsae.config.schema import Config
from recsae.distributed import cluster
from recsae.distributed.retry import retrying
from recsae.errors import BadInput, NotServed
from recsae.observability import context, progress
from recsae.pipeline.gate import failing, judge
from recsae.pipeline.run_lock import refuse_taken_over
from recsae.pipeline.stages import STAGES, Stage
from recsae.store.filesystem import as_json
from recsae.store.nights import Night, Record
from recsae.store.object_store_errors import is_unreachable
from recsae.store.progress import Lease
from recsae.store.run_store import PREVIOUS, Committed, RunStore
from recsae.text.formatting import number
from recsae.text.redaction import redact_tree, redact_uri

log = logging.getLogger(__name__)


class Pipeline:
    """The stages of one config over one store. `night` is the run lock of a driver that will publish, with
    `[nights]`."""

    def __init__(self, config: Config, night: Lease | None = None) -> None:
        self.config = config
        self.store = RunStore(config.store.root, config.name)
        self._night = night
        self._fingerprints: dict[str, str] = {}
        self._contents: dict[Callable[[Config], Mapping[str, str]], Mapping[str, str]] = {}
        served = self.store.current() if config.nights else None
        self._served: Mapping[str, str] = served["fingerprints"] if served else {}

    def _served_stage(self, name: str) -> Committed | None:
        """The served night's result of a stage."""
        return self.store.committed(name, self._served[name]) if name in self._served else None

    def fingerprint(self, name: str) -> str:
        """A hash of what decides the result of a stage: its version, its slice of the config, the fingerprints of its
        inputs and, where it builds on the served night, of what it reads of that night.

        Where only that last part has changed, the served night's stage is reused: a night is not built on itself.
        """
        if name not in self._fingerprints:
            served = self._served_stage(name)
            before = self._digest(name, served.manifest.get("last", {})) if served else None
            same = served is not None and served.fingerprint == before
            self._fingerprints[name] = self._served[name] if same else self._digest(name, self._last(name))
        return self._fingerprints[name]

    def _digest(self, name: str, last: Mapping[str, str]) -> str:
        stage = STAGES[name]
        facts = {
            "stage": name,
            "version": stage.version,
            "config": self._slice(stage, last),
            "content": self._content(stage),
            "inputs": {need: self.fingerprint(need) for need in stage.inputs},
            **({"last": dict(last)} if last else {}),
        }
        return hashlib.sha256(as_json(facts)).hexdigest()[:20]

    def _content(self, stage: Stage) -> Mapping[str, str]:
        if stage.content not in self._contents:
            self._contents[stage.content] = {
                redact_uri(name): checksum for name, checksum in stage.content(self.config).items()
            }
        return self._contents[stage.content]

    def _slice(self, stage: Stage, last: Mapping[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = redact_tree(self.config.recorded(include=set(stage.config)))
        if last and stage.nights and self.config.nights:
            found["nights"] = self.config.nights.recorded(include=set(stage.nights))
        return found

    def _last(self, name: str) -> dict[str, str]:
        """Fingerprints of what a stage reads of the served night; empty unless all of it is there."""
        found = {need: self._served[need] for need in STAGES[name].last if need in self._served}
        whole = len(found) == len(STAGES[name].last) and all(map(self.store.committed, found, found.values()))
        return found if whole else {}

    def committed(self, name: str) -> Committed | None:
        return self.store.committed(name, self.fingerprint(name))

    def run(self, name: str) -> Committed:
        """Run one stage unless it is committed already.

        Raises BadInput where an input has not been committed yet, or is damaged.
        """
        done = self.committed(name)
        if done:
            log.info("%s: committed already (%s), skipped", name, done.fingerprint)
            progress.stage_done(name)
            return done
        inputs = self.inputs(name) | self._last_inputs(name)
        for found in inputs.values():
            found.refuse_damaged()
        self.store.check_writable()
        with context.at_work(self.config.name, name), progress.at_stage(name):
            return self._work(STAGES[name], inputs)

    def has_work(self, name: str) -> bool:
        """Whether `run` would run the stage. Raises BadInput where an input has not been committed yet."""
        if self.committed(name):
            return False
        self.inputs(name)
        return True

    def expected_seconds(self, name: str) -> float | None:
        """What the stage took in the night that is served, if it was made by the same config and in the same way."""
        current = self.store.current()
        fingerprint = current["fingerprints"].get(name) if current else None
        served = self.store.committed(name, fingerprint) if fingerprint else None
        if served is None:
            return None
        stage, last = STAGES[name], served.manifest.get("last", {})
        alike = served.manifest["version"] == stage.version and served.manifest["config"] == self._slice(stage, last)
        # A first night trains and labels everything, and a later one what is new.
        return number(served.manifest.get("seconds")) if alike and bool(last) == bool(self._last(name)) else None

    def inputs(self, name: str) -> dict[str, Committed]:
        """The inputs of a stage, of this night. Raises BadInput where one has not been committed yet."""
        return self.require(f"stage {name}", *STAGES[name].inputs)

    def require(self, user: str, *names: str) -> dict[str, Committed]:
        """The results of these stages by name. Raises BadInput, naming the `user`, where one is not committed yet."""
        stages: dict[str, Committed] = {}
        for name in names:
            found = self.committed(name)
            if found is None:
                raise BadInput(
                    f"{user} needs {name}, which this config has not made yet; run `recsae stage {name}` first, "
                    "or `recsae run` for all"
                )
            stages[name] = found
        return stages

    def _last_inputs(self, name: str) -> dict[str, Committed]:
        found = {need: self.store.committed(need, fingerprint) for need, fingerprint in self._last(name).items()}
        return {PREVIOUS + need: one for need, one in found.items() if one}

    def _work(self, stage: Stage, inputs: Mapping[str, Committed]) -> Committed:
        """Hold the stage's lease, attempt it and commit it; waits while another attempt is at work."""
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
        try:
            done = self.committed(stage.name)  # by another attempt, which finished since the last look
            if done:
                return done
            return retrying(lambda: self._attempt(stage, inputs, lease), stage.name, self.config.resources.retries)
        finally:
            lease.release()

    def _attempt(self, stage: Stage, inputs: Mapping[str, Committed], lease: Lease) -> Committed:
        attempt = self.store.attempt(stage.name, self.fingerprint(stage.name), lease)
        try:
            context.attempt_started(attempt)
            log.info("%s: started (%s)", stage.name, attempt.fingerprint)
            start = time.monotonic()
            metrics = stage.run(self.config, inputs, attempt)
            seconds = time.monotonic() - start
            reserved = cluster.reserved()
            last = {
                key.removeprefix(PREVIOUS): found.fingerprint
                for key, found in inputs.items()
                if key.startswith(PREVIOUS)
            }
            done = self.store.commit(
                stage.name,
                attempt,
                {
                    "version": stage.version,
                    "config": self._slice(stage, last),
                    "content": dict(self._content(stage)),
                    "inputs": {need: inputs[need].fingerprint for need in stage.inputs},
                    "last": last,
                    "metrics": metrics,
                    "seconds": round(seconds, 3),
                    **({"machines": reserved} if reserved else {}),
                },
            )
        except BaseException as error:
            if not is_unreachable(error):  # or every further request would wait as long again
                self.store.discard(stage.name, attempt)
            raise
        context.stage_committed(done)
        size = sum(file["bytes"] for file in done.manifest["files"]) / 2**20
        log.info("%s: done in %.1f s, %d files, %.1f MiB", stage.name, seconds, len(done.files()), size)
        return done

    def publish(self) -> Record:
        """Serve what this config made, if it passes the gate of `[nights]`, and delete nights that are too old.

        Raises BadInput where a stage is not committed, and NotServed where a check of the gate fails or another driver
        has taken over.
        """
        made = self.require("publish", *STAGES)
        concepts, report = made["concepts"], made["report"]
        refuse_taken_over(self._night)
        checks = judge(self.config.nights.gate, made, self._served_stage("recommender")) if self.config.nights else ()
        night = self.store.nights.close(
            Night(
                {name: found.fingerprint for name, found in made.items()},
                redact_uri(concepts.data.child(concepts.files("concepts")[0]).uri),
                redact_uri(report.data.child(report.files("report")[0]).uri),
                tuple(check._asdict() for check in checks),
            )
        )
        if not night["served"]:
            current = self.store.current()
            raise NotServed(failing(checks, current["night"] if current else None))
        if self.config.nights:
            self.store.nights.retire(self.config.nights.keep)
        return night
