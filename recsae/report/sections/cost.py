"""The report's table of stages: duration, reserved CPU and GPU hours, and cost.

Cost is for everything reserved while a stage ran, used or not, at the prices of the config. A stage whose manifest does
not record its machines, as in older versions, shows a dash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from recsae.config.report import ReportConfig
from recsae.store.run_store import Committed
from recsae.text.formatting import DASH, duration, look_up, number


class StageRun(NamedTuple):
    name: str
    seconds: str
    cpu_hours: str
    gpu_hours: str
    money: str
    fingerprint: str


class StageRuns(NamedTuple):
    rows: tuple[StageRun, ...]
    total: StageRun
    priced: bool
    """Whether the config has a price."""
    currency: str
    unrecorded: int
    """Number of stages with unknown hours, which no sum includes."""
    unpriced: int
    """Number of stages with known hours but unknown cost."""


class _Cost(NamedTuple):
    """None stands for unknown."""

    seconds: float | None
    cpu_hours: float | None
    gpu_hours: float | None
    money: float | None

    def as_row(self, name: str, fingerprint: str) -> StageRun:
        cpu_hours, gpu_hours, money = map(_amount, (self.cpu_hours, self.gpu_hours, self.money))
        return StageRun(name, duration(self.seconds), cpu_hours, gpu_hours, money, fingerprint)


def about_stages(prices: ReportConfig, inputs: Mapping[str, Committed]) -> StageRuns:
    """The stages in order, and the sum of what is known."""
    costs = {name: _cost(prices, found) for name, found in inputs.items()}
    total = _Cost(*(_sum(column) for column in zip(*costs.values(), strict=True)))
    priced = prices.cpu_hour is not None or prices.gpu_hour is not None
    return StageRuns(
        tuple(costs[name].as_row(name, found.fingerprint) for name, found in inputs.items()),
        total.as_row("total", ""),
        priced,
        prices.currency,
        sum(cost.cpu_hours is None for cost in costs.values()),
        sum(priced and cost.cpu_hours is not None and cost.money is None for cost in costs.values()),
    )


def _cost(prices: ReportConfig, found: Committed) -> _Cost:
    seconds = number(found.manifest.get("seconds"))
    cpus, gpus = (number(look_up(found.manifest, "machines", kind)) for kind in ("cpus", "gpus"))
    if seconds is None or cpus is None or gpus is None:
        return _Cost(seconds, None, None, None)
    cpu_hours, gpu_hours = cpus * seconds / 3600, gpus * seconds / 3600
    return _Cost(
        seconds,
        cpu_hours,
        gpu_hours,
        _sum_of_all(_money(cpu_hours, prices.cpu_hour), _money(gpu_hours, prices.gpu_hour)),
    )


def _money(hours: float, price: float | None) -> float | None:
    """The cost of the hours; zero hours cost nothing, even without a price."""
    return 0.0 if hours == 0 else None if price is None else hours * price


def _sum_of_all(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _sum(values: tuple[float | None, ...]) -> float | None:
    """The sum of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _amount(value: float | None) -> str:
    """Two decimals; `< 0.01` for positive values that would round to 0."""
    if value is None:
        return DASH
    return "< 0.01" if 0 < value < 0.005 else f"{value:,.2f}"
