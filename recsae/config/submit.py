"""The config's section on submission: what each stage's job requests of the cluster. Never part of a fingerprint."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recsae.config.base import Section

Amount = Annotated[float, Field(ge=0, le=1e6)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Name = Annotated[str, Field(min_length=1)]


class EntrypointConfig(Section):
    """What Ray reserves for a job's driver; its tasks, actors and Train workers request their own."""

    cpus: Amount = 1.0
    """Cores. A driver that requests nothing at all runs on the head node."""
    gpus: Amount = 0.0
    """GPUs; a driver needs none, even where its workers have them."""
    memory_gb: Amount = 0.0
    """Memory that must be free on the driver's node."""
    resources: dict[Name, Positive] = Field(default={})
    """Custom resources, as in `{ disk = 1 }`."""
    labels: dict[Name, str] = Field(default={})
    """Labels that the node must have, as in `{ "recsae/group" = "data" }`; Ray's label selectors."""


class SubmitConfig(Section):
    python: Name = "python"
    """The interpreter on the cluster's nodes."""
    entrypoint: EntrypointConfig = EntrypointConfig()
    """The default for stages without a section of their own."""
    stages: dict[str, EntrypointConfig] = Field(default={})
    """By stage, as in `[submit.stages.labels]`; also `publish`, and `nightly` for all in one job."""
