"""The command `show`: the served dictionary in the terminal, or one latent, item or user."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
import pyarrow as pa
from click.core import ParameterSource

from recsae.cli.command import ending
from recsae.cli.render import terminal
from recsae.cli.render.dictionary import ROWS, concept_table, counted
from recsae.cli.render.item import print_item
from recsae.cli.render.latent import print_latent
from recsae.cli.render.user import print_user
from recsae.cli.run_config import RunConfig, takes_config
from recsae.errors import BadInput
from recsae.lookup import dictionary, items, latents, users
from recsae.lookup.served import Served, served
from recsae.store.filesystem import finite
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

ONE: dict[str, tuple[Callable[[Served, str], Any], Callable[[Any], None]]] = {
    "latent": (latents.latent, print_latent),
    "item": (items.item, print_item),
    "user": (users.user, print_user),
}
"""By option what finds one thing and what prints it."""


@click.command
@takes_config
@click.option("--latent", metavar="N", help="one latent: its concept, scores, items, cases, steering, nights")
@click.option("--item", metavar="ID|TITLE", help="one item: the latents that fire at it; part of a title will do")
@click.option("--user", metavar="ID", help="one user: their events, and their cases in the evidence")
@click.option(
    "--sort", type=click.Choice(list(dictionary.ORDERS)), default="surest", help="order of the dictionary (surest)"
)
@click.option("--search", metavar="TEXT", default="", help="concepts whose name, terms or items have the text")
@click.option("--interpretable", is_flag=True, help="interpretable concepts alone")
@click.option("--rows", type=int, default=ROWS, metavar="N", help=f"of the dictionary ({ROWS})")
@click.option("--json", "as_json", is_flag=True, help="one JSON value, for machines")
@click.pass_context
def show(ctx: click.Context, /, config: RunConfig, *, rows: int, as_json: bool, **given: Any) -> None:
    """Print the served dictionary, the surest concepts first, or one latent, item or user."""
    one = _only_one(ctx)
    with ending("nothing was changed"):
        if rows < 1:
            raise BadInput(f"--rows {rows} shows none; give 1 or more")
        night = served(config.load())
        if one:
            find, show_it = ONE[one]
            found = find(night, given[one])
            _print_json(asdict(found)) if as_json else show_it(found)
        else:
            listed = dictionary.search(night, given["sort"], given["search"], interpretable=given["interpretable"])
            _print_dictionary(listed, rows, night, as_json=as_json)


def _only_one(ctx: click.Context) -> str | None:
    """Which of ONE is asked for. Raises UsageError where it is two, or one with an option of the dictionary."""
    asked = [name for name in ONE if ctx.params[name] is not None]
    if len(asked) > 1:
        raise click.UsageError(f"--{asked[1]} not allowed with --{asked[0]}", ctx)
    listing = ("sort", "search", "interpretable", "rows")
    unused = [name for name in listing if ctx.get_parameter_source(name) != ParameterSource.DEFAULT]
    if asked and unused:
        raise click.UsageError(f"--{unused[0]} is for the dictionary, and --{asked[0]} asks for one {asked[0]}", ctx)
    return asked[0] if asked else None


def _print_dictionary(found: pa.Table, rows: int, night: Served, *, as_json: bool) -> None:
    first = found.slice(0, rows)
    if as_json:
        _print_json(first.to_pylist())
        return
    console = terminal.console()
    if first.num_rows:
        console.print(concept_table(first, numbered=True))
    more = f"the first {first.num_rows:,} of " if first.num_rows < found.num_rows else ""
    console.print(more + counted(found), soft_wrap=True)
    console.print(f"night       {plain(str(night.record['night']))}", soft_wrap=True)
    console.print(f"dictionary  {plain(redact_uri(str(night.record['dictionary'])))}", soft_wrap=True)


def _print_json(value: Any) -> None:
    print(json.dumps(finite(value), ensure_ascii=False))
