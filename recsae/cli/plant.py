"""A planted catalogue of any size, to try a cluster or a config with: `interactions.parquet` and `items.parquet`.

ray job submit --working-dir . -- python -m jobs.plant --to /data/planted --users 1000000 --items 1000000 --events 10000000
"""  # noqa: E501  The line that submits the job is one line.

from __future__ import annotations

import time
from contextlib import ExitStack

from recsae.cli.command import Parser, ending, refuse_lost
from recsae.data.synthetic import INTERACTIONS, ITEMS, SyntheticSpec, event_tables, item_tables
from recsae.store.atomic_output import atomic_parquet_writer, resolve_output
from recsae.text.sanitize import plain


def main() -> None:
    parser = Parser("plant", config=False)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="where the two files go, a path or URI")
    parser.add_argument("--users", type=int, required=True, metavar="N")
    parser.add_argument("--items", type=int, required=True, metavar="N")
    parser.add_argument("--events", type=int, required=True, metavar="N", help="of all users together")
    parser.add_argument("--concepts", type=int, default=50, metavar="N", help="that items bear and users follow (50)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed writes the same files (0)")
    arguments = parser.parse_args()
    with ending("nothing was written"):
        refuse_lost("--to", arguments.to)
        planted = SyntheticSpec(arguments.users, arguments.items, arguments.events, arguments.concepts, arguments.seed)
        planted.check()
        start = time.monotonic()
        with ExitStack() as both:  # neither file takes its name before the other is whole
            tables = {"interactions.parquet": INTERACTIONS, "items.parquet": ITEMS}
            items, events = (
                both.enter_context(
                    atomic_parquet_writer(*resolve_output("--to", f"{arguments.to.rstrip('/')}/{name}"), schema)
                )
                for name, schema in reversed(tables.items())
            )
            for table in item_tables(planted):
                items.write_table(table)
            for table in event_tables(planted):
                events.write_table(table)
        print(
            f"wrote {plain(arguments.to)}: {planted.events:,} events of {planted.users:,} users on {planted.items:,} "
            f"items of {planted.concepts} concepts, {time.monotonic() - start:.1f} s"
        )


if __name__ == "__main__":
    main()
