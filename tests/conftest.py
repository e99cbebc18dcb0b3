"""What tests of several packages share: commits without a pipeline, and one small planted data set, ingested once.

A test's folder and its mark say which command is the first to run it; each command runs what those above it run:

    make unit     tests/<package>                          what takes under a second: no Ray, no training
    make test     tests/<package> marked `slow`            unit tests that take seconds each
                  tests/integration marked `short`         one line through Ray and vLLM, nights, a kill, the pages
    make check    tests/integration, and lint              every recommender, S3, submission, engines
                  tests/faults marked `short`              a fault of each kind
    make faults   tests/faults                             a kill -9 of everything at every stage
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from recsae.config.schema import Config
from recsae.data.stage import ingest
from recsae.store.run_store import Attempt, Committed, Metrics, RunStore
from tests.planted import write_planted

torch.set_num_threads(1)  # as the workers do; tensors here are small, and the number decides the last digits
Commit = Callable[[str, Callable[[Attempt], Metrics]], Committed]
N_CONCEPTS = 4
PER_CONCEPT = 12


def committing(root: Path) -> Commit:
    """`commit(stage, write)` runs `write(attempt)` and commits what it wrote under a fingerprint of its own."""
    store, numbers = RunStore(str(root), "test"), itertools.count()

    def commit(stage: str, write: Callable[[Attempt], Metrics]) -> Committed:
        fingerprint = f"f{next(numbers)}"
        attempt = store.attempt(stage, fingerprint, store.lease(stage, fingerprint, 20))
        return store.commit(stage, attempt, {"metrics": write(attempt)})

    return commit


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    return committing(tmp_path / "store")


@pytest.fixture(scope="session")
def planted_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """120 users with 6 to 24 events, 48 items of 4 concepts; longer histories than the model's 12 positions."""
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder, n_users=120, n_concepts=N_CONCEPTS, items_per_concept=PER_CONCEPT, events_per_user=(6, 24))
    return Config.model_validate(
        {
            "name": "test",
            "data": {
                "interactions": [str(folder / "interactions.parquet")],
                "items": [str(folder / "items.parquet")],
                "attributes": {"genres": ""},
                "min_user_events": 1,
                "min_item_events": 1,
            },
            "cases": {"max_per_user": 10},
            "recommender": {"width": 16, "heads": 2, "blocks": 2, "max_length": 12, "dropout": 0.1, "negatives": 16},
        }
    )


@pytest.fixture(scope="session")
def ingested(planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Committed:
    """What ingest commits of it."""
    commit = committing(tmp_path_factory.mktemp("ingested"))
    return commit("ingest", lambda out: ingest(planted_config, {}, out))


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder without any permission, and this process without root's right to ignore that."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)
