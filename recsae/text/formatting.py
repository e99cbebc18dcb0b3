"""Figures for people, on pages and in the terminal; a dash where one is absent or not a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

DASH = "—"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Fact:
    """One line of a page: what, how much, and what it means."""

    label: str
    value: str
    note: str = ""


class Cell(NamedTuple):
    """One figure of a table, and its interval where there is one."""

    value: str
    interval: str = ""


class Row(NamedTuple):
    """One row of a table; `mark` is a word that sets it apart from the others."""

    label: str
    cells: tuple[Cell, ...]
    mark: str = ""


def look_up(metrics: Mapping[str, Any], *keys: str) -> Any:
    """The value under nested keys, or None where the path ends early."""
    value: Any = metrics
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def listed(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; none of anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def short(value: Any, digits: int = 4) -> Any:
    """A float to `digits` significant digits, None where it is not finite; anything else as it is.

    Further digits are noise, and pages with thousands of rows must load quickly.
    """
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    cut = float(f"{value:.{digits}g}")
    return int(cut) if cut.is_integer() and abs(cut) < 1e15 else cut


def count(value: Any) -> str:
    found = number(value)
    return DASH if found is None else f"{round(found):,}"


def decimal(value: Any, digits: int = 3) -> str:
    found = number(value)
    return DASH if found is None else f"{found:.{digits}f}"


def plain(value: Any) -> str:
    """A setting as a config would have it, to four digits: a learning rate, a weight, a seed."""
    found = number(value)
    if found is None:
        return DASH
    return str(found) if isinstance(found, int) else f"{found:.4g}"


def share(part: Any, whole: Any = 1) -> str:
    """`part` of `whole` in per cent, with a space that does not break."""
    above, below = number(part), number(whole)
    return DASH if above is None or not below else f"{100 * above / below:.1f}\u00a0%"


def percent(value: Any, digits: int = 1) -> str:
    """A share in per cent, for the terminal: with a plain space."""
    found = number(value)
    return DASH if found is None else f"{100 * found:.{digits}f} %"


def fine_share(value: Any) -> str:
    """A share in per cent; with more digits below one per cent."""
    found = number(value)
    if found is None:
        return DASH
    digits = 1 if found == 0 or abs(found) >= 0.01 else 2 if abs(found) >= 0.001 else 3
    return f"{100 * found:.{digits}f}\u00a0%"


def signed_share(value: Any) -> str:
    """A change in per cent, always with its sign: `+1.2 %`, `−3.4 %`, `±0.0 %` of what rounds to nothing."""
    found = number(value)
    if found is None:
        return DASH
    shown = f"{100 * found:+.1f}"
    return (f"±{shown[1:]}" if float(shown) == 0 else shown.replace("-", "\u2212")) + "\u00a0%"


def interval(value: Any, digits: int, factor: float = 1) -> str:
    """`[low, high]`, each times `factor`; empty where there is none."""
    ends = [number(end) for end in value] if isinstance(value, (list, tuple)) else []
    known = [end for end in ends if end is not None]
    if len(ends) != 2 or len(known) != 2:
        return ""
    return f"[{', '.join(f'{factor * end:.{digits}f}' for end in known)}]"


def with_interval(value: Any, lower: Any, upper: Any) -> str:
    """`0.80 [0.73, 0.86]`; without brackets where there is no interval."""
    middle = decimal(value, 2)
    return middle if number(value) is None or lower is None else f"{middle} [{decimal(lower, 2)}, {decimal(upper, 2)}]"


def figure(value: float) -> str:
    """A count whole; any other figure to three digits, or whole from 1,000 on."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def binary_size(count: float) -> str:
    """Bytes as `512 B`, `1.5 KiB` and so on to TiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def duration(value: Any) -> str:
    seconds = number(value)
    if seconds is None:
        return DASH
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s"
    hours, rest = divmod(round(seconds), 3600)
    return (f"{hours}\u00a0h " if hours else "") + f"{rest // 60}\u00a0min {rest % 60:02d}\u00a0s"


def text(value: Any) -> str:
    return value if isinstance(value, str) and value else DASH
