"""The served dictionary in the terminal: all of it, or one latent, item or user.

python -m jobs.show --config jobs/configs/demo.toml [--search western] [--sort f1] [--interpretable] [--rows 50]
python -m jobs.show --config jobs/configs/demo.toml --latent 12        # or --item "Heat (1995)", --user 15
ray job submit --working-dir . -- python -m jobs.show --config jobs/configs/ml1m.toml --set store.root=/data/runs
"""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from recsae.cli.command import Parser, ending, refuse_lost
from recsae.cli.render import terminal
from recsae.cli.render.dictionary import ROWS, concept_table, counted
from recsae.cli.render.item import print_item
from recsae.cli.render.latent import print_latent
from recsae.cli.render.user import print_user
from recsae.config.loader import load
from recsae.errors import BadInput
from recsae.lookup import dictionary, items, latents, users
from recsae.lookup.served import served
from recsae.store.filesystem import finite
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

if TYPE_CHECKING:
    from recsae.lookup.served import Served


def main() -> None:
    arguments = _parse()
    with ending("nothing was changed"):
        if arguments.rows < 1:
            raise BadInput(f"--rows {arguments.rows} shows none; give 1 or more")
        config = load(arguments.config, arguments.set)
        refuse_lost("store.root", config.store.root)
        _show(served(config), arguments)


def _parse() -> Namespace:
    parser = Parser("show")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--latent", metavar="N", help="one latent: its concept, scores, items, cases, steering, nights")
    which.add_argument("--item", metavar="ID|TITLE", help="one item: the latents that fire at it")
    which.add_argument("--user", metavar="ID", help="one user: what he did, and his cases in the evidence")
    listing = ("sort", "search", "interpretable", "rows")
    parser.add_argument("--sort", choices=dictionary.ORDERS, default="surest", help="order of the dictionary (surest)")
    parser.add_argument(
        "--search", metavar="TEXT", default="", help="concepts whose name, terms or items bear the text"
    )
    parser.add_argument("--interpretable", action="store_true", help="interpretable concepts alone")
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"of the dictionary ({ROWS})")
    parser.add_argument("--json", action="store_true", help="one JSON value, for machines")
    arguments = parser.parse_args()
    one = next((name for name in ("latent", "item", "user") if getattr(arguments, name) is not None), None)
    unused = [name for name in listing if getattr(arguments, name) != parser.get_default(name)]
    if one and unused:
        parser.error(f"--{unused[0]} is for the dictionary, and --{one} asks for one {one}")
    return arguments


def _show(night: Served, arguments: Namespace) -> None:
    if arguments.latent is not None:
        latent = latents.latent(night, arguments.latent)
        _print_json(asdict(latent)) if arguments.json else print_latent(latent)
    elif arguments.item is not None:
        item = items.item(night, arguments.item)
        _print_json(asdict(item)) if arguments.json else print_item(item)
    elif arguments.user is not None:
        user = users.user(night, arguments.user)
        _print_json(asdict(user)) if arguments.json else print_user(user)
    else:
        _print_dictionary(night, arguments)


def _print_dictionary(night: Served, arguments: Namespace) -> None:
    found = dictionary.search(night, arguments.sort, arguments.search, interpretable=arguments.interpretable)
    first = found.slice(0, arguments.rows)
    if arguments.json:
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


if __name__ == "__main__":
    main()
