"""Two nights on a planted catalogue: the first is served, the second is what a fault may not spoil."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.pipeline.runner import Pipeline
from recsae.pipeline.stages import STAGES
from recsae.store.run_store import Committed
from tests.integration.conftest import planted_toml
from tests.planted import write_planted

FIRST, SECOND = "data.replay_fraction=0.8", "data.replay_fraction=1.0"
NIGHTS = """
[nights]
epochs = 2
steps = 200
[nights.gate]
drift = 0.9
interpretable_share = 0.0
"""
PATIENCE = 1800
"""Seconds after which a driver hangs: a whole night takes minutes, and ten times as long on a crowded machine."""
SAME_NAMES, SAME_SCORES = 0.98, 0.02
"""What design.md means by the same dictionary."""


class Store:
    """A store in which the first night is served, and what is there of the second."""

    def __init__(self, toml: Path, root: Path, address: str | None) -> None:
        self.toml, self.root, self.address = toml, root, address

    @property
    def config(self) -> Config:
        return load(self.toml, [f"store.root={self.root}", SECOND])

    def pipeline(self) -> Pipeline:
        return Pipeline(self.config)

    def start(self, job: str, *overrides: str) -> subprocess.Popen[str]:
        """A driver of the second night, in a process of its own."""
        sets = [part for one in (f"store.root={self.root}", SECOND, *overrides) for part in ("--set", one)]
        command = [sys.executable, "-m", f"jobs.{job}", "--config", str(self.toml), *sets]
        environment = dict(os.environ)
        if self.address:  # checkpoints wait for it; 0.5 s in a Ray of a driver's own, else 2 s
            environment |= {"RAY_ADDRESS": self.address, "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5"}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, env=environment, text=True, **streams)  # type: ignore[call-overload, no-any-return]

    def run(self, job: str, *overrides: str) -> tuple[int, str]:
        """Exit status and what was said."""
        driver = self.start(job, *overrides)
        said, _ = driver.communicate(timeout=PATIENCE)
        return driver.returncode, said

    def copy(self, root: Path, *, before: str) -> Store:
        """A copy in which the second night has come as far as the stage `before`, and the first is still served."""
        shutil.copytree(self.root, root)
        made, other = self.pipeline(), Store(self.toml, root, self.address)
        first = made.store.nights.all()[0]
        order = list(STAGES)
        for stage in order[order.index(before) :]:
            fingerprint = made.fingerprint(stage)
            if fingerprint != first["fingerprints"][stage]:
                shutil.rmtree(root / "planted" / stage / fingerprint, ignore_errors=True)
        for night in made.store.nights.all()[1:]:
            (root / "planted/nights" / f"{night['night']}.json").unlink()
        served = (root / "planted/nights" / f"{first['night']}.json").read_bytes()
        (root / "planted/current.json").write_bytes(served)
        return other

    def lease_folder(self, stage: str) -> Path:
        """Where a driver shows that it is at work on a stage of the second night."""
        return self.root / "planted" / stage / self.pipeline().fingerprint(stage) / "_progress/lease"

    def committed(self, stage: str) -> Committed:
        done = self.pipeline().committed(stage)
        assert done is not None, f"{stage} is not committed"
        return done

    def dictionary(self) -> pd.DataFrame:
        table = self.committed("concepts").read_table("concepts.parquet")
        return pd.DataFrame(table.to_pylist()).set_index("latent")

    def served(self) -> int:
        """The number of the night that is served."""
        current = self.pipeline().store.current()
        assert current is not None and Path(current["dictionary"]).exists() and Path(current["report"]).exists()
        return int(current["number"])


def empty(folder: Path, address: str | None, latents: int = 32) -> Store:
    """A store without a night, its events and its config."""
    write_planted(folder / "data", n_users=300)
    toml = folder / "planted.toml"
    text = planted_toml(folder / "data", folder / "store").replace("num_latents = 24", f"num_latents = {latents}")
    text = text.replace("score_cases = 48", "score_cases = 16")  # what is measured here is not what a name is worth
    toml.write_text(text + NIGHTS)
    return Store(toml, folder / "store", address)


def make(folder: Path, address: str | None) -> Store:
    """Both nights, undisturbed."""
    store = empty(folder, address)
    for night in (FIRST, SECOND):
        status, said = store.run("nightly", night)
        assert status == 0, said
    return store


def assert_same_files(one: Committed, other: Committed) -> None:
    """The same names and the same bytes."""
    assert one.files() == other.files()
    for name in one.files():
        with one.data.open_input(name) as first, other.data.open_input(name) as second:
            assert first.read() == second.read(), f"{name} differs"


def assert_same_dictionary(one: Store, other: Store) -> None:
    undisturbed, disturbed = one.dictionary(), other.dictionary()
    assert list(undisturbed.index) == list(disturbed.index)
    for column in ("stable_id", "frequency", "activations", "evidence_hash", "top_item_ids"):
        assert undisturbed[column].tolist() == disturbed[column].tolist()
    same = undisturbed.name.fillna("") == disturbed.name.fillna("")
    assert same.mean() >= SAME_NAMES
    moved = (undisturbed.confidence - disturbed.confidence)[same].abs()
    assert moved.fillna(0).max() <= SAME_SCORES
