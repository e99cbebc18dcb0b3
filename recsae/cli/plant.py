"""The command `plant`: a planted catalogue of any size, to try a cluster or a config with."""

from __future__ import annotations

import time
from contextlib import ExitStack

import click

from recsae.cli.command import ending, refuse_relative_in_job
from recsae.data.synthetic import INTERACTIONS, ITEMS, SyntheticSpec, event_tables, item_tables
from recsae.store.atomic_output import atomic_parquet_writer, resolve_output
from recsae.text.sanitize import plain


@click.command
@click.option("--to", required=True, metavar="FOLDER", help="where the two files go, a path or URI")
@click.option("--users", type=int, required=True, metavar="N")
@click.option("--items", type=int, required=True, metavar="N")
@click.option("--events", type=int, required=True, metavar="N", help="of all users together")
@click.option("--concepts", type=int, default=50, metavar="N", help="that items have and users follow (50)")
@click.option("--seed", type=int, default=0, metavar="N", help="the same seed writes the same files (0)")
def plant(to: str, users: int, items: int, events: int, concepts: int, seed: int) -> None:
    """Write a planted catalogue: `interactions.parquet` and `items.parquet`."""
    with ending("nothing was written"):
        refuse_relative_in_job("--to", to)
        planted = SyntheticSpec(users, items, events, concepts, seed)
        planted.check()
        start = time.monotonic()
        with ExitStack() as both:  # neither file takes its name before the other is whole
            tables = {"interactions.parquet": INTERACTIONS, "items.parquet": ITEMS}
            item_rows, event_rows = (
                both.enter_context(atomic_parquet_writer(*resolve_output("--to", f"{to.rstrip('/')}/{name}"), schema))
                for name, schema in reversed(tables.items())
            )
            for table in item_tables(planted):
                item_rows.write_table(table)
            for table in event_tables(planted):
                event_rows.write_table(table)
        print(
            f"wrote {plain(to)}: {planted.events:,} events of {planted.users:,} users on {planted.items:,} "
            f"items of {planted.concepts} concepts, {time.monotonic() - start:.1f} s"
        )
