"""The models of a run, frozen and in evaluation mode, by the run alone."""

from __future__ import annotations

from typing import Protocol

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender
from recsae.sae import model
from recsae.sae.model import Sae
from recsae.store.run_store import Committed


class StageSource(Protocol):
    """Whatever holds the stages of a run: a Run, or a Pipeline whose night is not served yet."""

    @property
    def config(self) -> Config: ...

    def committed(self, name: str) -> Committed | None: ...


def load_recommender(run: StageSource, device: str = "cpu") -> Recommender:
    """The recommender, read and edited at the site that the run probes. Raises BadInput where the run has none."""
    return registry.load(recommender_of(run), run.config.probe.site, device)


def load_sae(run: StageSource, device: str = "cpu") -> Sae:
    """The sparse autoencoder. Raises BadInput where the run has not trained it yet."""
    return model.load(stage(run, "sae").data.child("model"), device)


def recommender_of(run: StageSource) -> Committed:
    """Raises BadInput where activations were given and no model."""
    found = stage(run, "recommender")
    if found.metrics["kind"] == "given":
        raise BadInput("recommender.kind = given: the run has activations and no recommender; give it the recommender")
    return found


def stage(run: StageSource, name: str) -> Committed:
    """What the run committed of a stage. Raises BadInput where there is nothing."""
    found = run.committed(name)
    if found is None:
        raise BadInput(f"run {run.config.name} has not made its {name} yet; run `recsae run` first")
    return found
