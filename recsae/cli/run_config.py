"""The config that a command works on: `--config` and `--set`, or the demo's where there is no `--config`."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from recsae.cli.command import refuse_relative_in_job
from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.data.builtin import FOLDER
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

DEMO = FOLDER / "demo.toml"
FILE = click.Path(readable=False)
"""A local path, which the shell completes; whoever reads it says what is wrong with it."""
CONFIG_HELP = "a TOML file; one file is one run"
SET_HELP = "override a config key; may be repeated"


@dataclass(frozen=True)
class RunConfig:
    """A config as the command line names it."""

    path: str | None
    """None: the demo."""
    overrides: Sequence[str] = ()

    @property
    def options(self) -> list[str]:
        """As they stand on a command line."""
        config = [] if self.path is None else ["--config", self.path]
        return [*config, *(word for pair in self.overrides for word in ("--set", pair))]

    def load(self) -> Config:
        """Raises BadInput on a file, key or value that is wrong, and on a store that a submitted job would lose."""
        if self.path is None:
            config = load(DEMO, [*demo_data(), *self.overrides])
            root = redact_uri(config.store.root)
            told = f"no --config: the demo on the built-in MovieLens data, run {config.name} in {root}"
            print(plain(told), file=sys.stderr)
        else:
            config = load(self.path, list(self.overrides))
        refuse_relative_in_job("store.root", config.store.root)
        return config


def demo_data() -> list[str]:
    """Overrides that name the built-in tables by their place in the installed package."""
    return [f"data.{name}={json.dumps([f'{FOLDER / name}.parquet'])}" for name in ("interactions", "items", "tags")]


def takes_config(command: Callable[..., Any] | None = None, *, required: bool = False) -> Callable[..., Any]:
    """The options `--config` and `--set`, which the command gets as one RunConfig, its first argument."""
    if command is None:
        return functools.partial(takes_config, required=required)

    @click.option(
        "--config", "path", type=FILE, required=required, help=CONFIG_HELP + ("" if required else " (the demo)")
    )
    @click.option("--set", "overrides", multiple=True, metavar="A.B=C", help=SET_HELP)
    @functools.wraps(command)
    def taking(path: str | None, overrides: tuple[str, ...], **options: Any) -> None:
        command(RunConfig(path, overrides), **options)

    return taking
