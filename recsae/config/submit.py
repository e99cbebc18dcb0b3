"""The config's section on submission: what each stage's job asks of the cluster. Never part of a fingerprint.

It knows Ray's kinds of resources and no stage by name.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recsae.config.base import Section

Amount = Annotated[float, Field(ge=0, le=1e6)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Name = Annotated[str, Field(min_length=1)]


class EntrypointConfig(Section):
    """What Ray sets aside for a job's driver; its tasks, actors and Train workers ask for their own."""

    cpus: Amount = 1.0
    """Cores. A driver that asks for nothing at all runs on the head."""
    gpus: Amount = 0.0
    """GPUs; a driver needs none to run stages whose workers have them."""
    memory_gb: Amount = 0.0
    """Memory that must be free where the driver starts."""
    resources: dict[Name, Positive] = Field(default={})
    """Custom resources of nodes, as in `{ disk = 1 }`."""
    labels: dict[Name, str] = Field(default={})
    """Labels that the node must bear, as in `{ "recsae/group" = "data" }`; Ray's label selectors."""


class SubmitConfig(Section):
    python: Name = "python"
    """The interpreter on the cluster's nodes."""
    entrypoint: EntrypointConfig = EntrypointConfig()
    """For stages that are not named below."""
    stages: dict[str, EntrypointConfig] = Field(default={})
    """By stage, as in `[submit.stages.labels]`; also `publish`, and `nightly` for all in one job."""
