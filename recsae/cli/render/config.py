"""Every key of a config in the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from recsae.cli.render import terminal
from recsae.config.docs import REQUIRED, KeyDoc
from recsae.text.formatting import DASH
from recsae.text.sanitize import plain


def print_keys(keys: Iterable[KeyDoc]) -> None:
    """Print one row a key; a value that is not the default stands in bold."""
    table = terminal.table("key", "value", "default", "meaning")
    table.columns[0].no_wrap = True
    for column, ratio in ((1, 2), (2, 2), (3, 4)):
        table.columns[column].ratio = ratio
    for one in keys:
        changed = one.value is not None and one.value != one.default
        default = one.default if one.default == REQUIRED else _toml(one.default)
        value = Text(plain(_toml(one.value)), style="bold" if changed else "")
        table.add_row(one.key, value, default if changed or one.value is None else "", plain(one.doc))
    terminal.console().print(table)


def _toml(value: Any) -> str:
    """As a config file has it; a dash where there is none."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return DASH if value is None else json.dumps(value, ensure_ascii=False)
