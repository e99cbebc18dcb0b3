"""The config's section on MLflow: where a finished night is logged. Never part of a fingerprint."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recsae.config.base import Section


class MlflowConfig(Section):
    uri: Annotated[str, Field(min_length=1)]
    """The tracking server, `https://…`. User, password or token are read from MLflow's own environment variables:
    `MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`, `MLFLOW_TRACKING_TOKEN`."""
    experiment: Annotated[str, Field(min_length=1, max_length=500)] = "recsae"
    """Created if it does not exist."""
