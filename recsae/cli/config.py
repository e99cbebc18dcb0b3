"""The command `config`: check a config, show every key with its doc line, or print the JSON Schema."""

from __future__ import annotations

import json

import click

from recsae.cli.command import ending
from recsae.cli.run_config import RunConfig, takes_config
from recsae.config.docs import describe, json_schema


@click.group
def config() -> None:
    """Check a config, show every key with its doc line, or print the JSON Schema."""


@config.command
@takes_config
def check(config: RunConfig) -> None:
    """Check that a config is valid. Reads neither the data it names nor the store."""
    with ending("nothing was changed"):
        print(f"valid: run {config.load().name}")


@config.command
@takes_config
@click.option("--json", "as_json", is_flag=True, help="one JSON array, for machines")
def show(config: RunConfig, as_json: bool) -> None:
    """Show every key of a config with its value and meaning. A default is shown where the value differs."""
    with ending("nothing was changed"):
        keys = describe(config.load())
        if as_json:
            print(json.dumps([key._asdict() for key in keys], ensure_ascii=False))
            return
        from recsae.cli.render.config import print_keys

        print_keys(keys)


@config.command
def schema() -> None:
    """Print the JSON Schema of config files. Editors use it to complete and check them."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
