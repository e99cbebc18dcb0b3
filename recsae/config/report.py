"""The config's section on the report: prices, for what the stages cost. It knows keys and values, and no stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recsae.config.base import Section

Price = Annotated[float, Field(ge=0)]


class ReportConfig(Section):
    cpu_hour: Price | None = None
    """Price of one CPU for an hour; left out: no money is told. 0 where only GPUs are charged for."""
    gpu_hour: Price | None = None
    """Price of one GPU for an hour; left out: no money is told of stages that had GPUs."""
    currency: Annotated[str, Field(max_length=8)] = ""
    """What prices are in, as `EUR`."""
