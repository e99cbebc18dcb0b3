"""The config's section on the report: prices, to estimate what the stages cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recsae.config.base import Section

Price = Annotated[float, Field(ge=0)]


class ReportConfig(Section):
    cpu_hour: Price | None = None
    """Price of one CPU for an hour; left out: no costs are reported. 0 where only GPUs are charged for."""
    gpu_hour: Price | None = None
    """Price of one GPU for an hour; left out: no costs are reported for stages that had GPUs."""
    currency: Annotated[str, Field(max_length=8)] = ""
    """Currency of the prices, such as `EUR`."""
