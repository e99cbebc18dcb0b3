"""Labelling disturbed by kill -9 of its driver; the dictionary comes out the same.

What becomes of an engine that is killed, test_engine.py tells, and of a whole labelling that loses one, tests/faults.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from recsae.config.schema import Config
from recsae.pipeline.runner import Pipeline
from recsae.store.filesystem import Folder

pytestmark = pytest.mark.short
LATER = ("labels", "scores", "concepts", "report")


def dictionary(config: Config) -> pd.DataFrame:
    committed = Pipeline(config).committed("concepts")
    assert committed is not None
    return pd.DataFrame(committed.read_table("concepts.parquet").to_pylist()).set_index("latent")


class Labelling:
    """The stage `labels` of a copy of the planted run, in a driver of its own."""

    def __init__(self, planted: tuple[Config, Path], address: str, folder: Path) -> None:
        config, toml = planted
        shutil.copytree(config.store.root, folder)
        self.config = config.model_copy(update={"store": config.store.model_copy(update={"root": str(folder)})})
        stage = folder / "planted" / "labels" / Pipeline(self.config).fingerprint("labels")
        for later in LATER:
            shutil.rmtree(folder / "planted" / later)
        self.progress = Folder(str(stage / "_progress"))
        # Of two engines the first answers while the second still has some to give: so there is a middle to kill in.
        sets = ("--set", f"store.root={folder}", "--set", "resources.llm_actors=2")
        self.command = [sys.executable, "-m", "jobs.labels", "--config", str(toml), *sets]
        self.environment = {**os.environ, "RAY_ADDRESS": address}

    def start(self) -> subprocess.Popen[bytes]:
        """A driver that has kept its first answers and is at work on the next ones."""
        driver = subprocess.Popen(self.command, env=self.environment)
        deadline = time.monotonic() + 180
        while not self.kept():
            assert driver.poll() is None, "labels ended before it could be disturbed"
            assert time.monotonic() < deadline, "no answer within 180 s"
            time.sleep(0.02)
        return driver

    def kept(self) -> dict[str, bytes]:
        """The files of answers, as they lie there."""
        return {name: Path(self.progress.locate(name)).read_bytes() for name in self.progress.list("likelihoods")}

    def keys(self) -> list[bytes]:
        """The questions whose answers were kept, each as often as it was answered."""
        return [key for name in self.kept() for key in self.progress.read_table(name)["key"].to_pylist()]


def test_labelling_goes_on_where_it_was(planted_run: tuple[Config, Path], ray_session: str, tmp_path: Path) -> None:
    labelling = Labelling(planted_run, ray_session, tmp_path / "store")
    driver = labelling.start()
    driver.kill()
    driver.wait()
    before = labelling.kept()
    assert before
    assert Pipeline(labelling.config).committed("labels") is None
    subprocess.run(labelling.command, env=labelling.environment, check=True, timeout=300)
    after = labelling.kept()
    assert before.items() <= after.items()
    assert len(after) > len(before), "the kill came after the last answer"

    keys = labelling.keys()
    assert len(keys) == len(set(keys)), "a question was asked again after its answer had been kept"
    for later in LATER[1:3]:
        Pipeline(labelling.config).run(later)
    undisturbed, resumed = dictionary(planted_run[0]), dictionary(labelling.config)
    assert list(undisturbed.index) == list(resumed.index)
    for column in ("frequency", "activations", "evidence_hash", "top_item_ids"):
        assert undisturbed[column].tolist() == resumed[column].tolist()
    same = undisturbed.name.fillna("") == resumed.name.fillna("")
    assert same.mean() >= 0.98
    assert (undisturbed.confidence - resumed.confidence)[same].abs().max() <= 0.02
