"""The planted bias as jobs see it: a config file, a store that is made already, and no Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from recsae.cli.main import main
from recsae.pipeline.runner import Pipeline
from recsae.policies.build import PolicyInputs
from recsae.schemas.concepts import CONCEPTS
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.policies import biased
from tests.sae.fake_ray import without_ray


class Line:
    """A config whose stages are committed, and how its jobs are asked."""

    def __init__(self, folder: Path) -> None:
        self.made: PolicyInputs
        _, self.made, self.commit = biased.line(folder, 240)
        self.committed: dict[str, Committed | None] = {
            "ingest": self.made.ingested,
            "recommender": self.made.recommender,
            "activations": self.made.activations,
            "sae": self.made.sae,
            "concepts": self.commit("concepts", self._dictionary),
            "statements": None,
        }
        self.config = folder / "biased.toml"
        self.config.write_text(_toml(folder / "data"))

    def _dictionary(self, out: Attempt) -> Metrics:
        """As much of the table as is read."""
        assert self.made.dictionary is not None
        columns = ["latent", "name", "terms", "statement", "gloss", "interpretable", "confidence"]
        schema = pa.schema([CONCEPTS.field(name) for name in columns])
        out.data.write_table("concepts.parquet", pa.Table.from_pylist(self.made.dictionary.rows, schema))
        return {}

    def place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From here on jobs find what is committed, and need no Ray."""
        without_ray(monkeypatch)
        monkeypatch.setattr(Pipeline, "committed", lambda pipeline, name: self.committed[name])


Ask = Callable[..., str]


def asking(command: str, line: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """`ask(*options)` runs a job and gives what it printed, or, where it is refused, the one sentence of it."""

    def ask(*options: str, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["recsae", "--config", str(line.config), *options])
        if not status:
            main([command])
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as caught:
            main([command])
        assert caught.value.code == status
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("recsae: ") and said.err.count("\n") == 1
        return said.err

    return ask


def _toml(data: Path) -> str:
    return f"""
name = "biased"
[store]
root = "{data.parent / "store"}"
[data]
interactions = ["{data}/interactions.parquet"]
items = ["{data}/items.parquet"]
users = "{data}/users.parquet"
attributes = {{ genres = "" }}
user_attributes = {{ group = "", age = "" }}
min_user_events = 1
min_item_events = 1
[cases]
max_per_user = 10
[recommender]
kind = "bprmf"
width = {biased.WIDTH}
heads = 2
max_length = 20
[ranking]
bootstrap = 100
"""
