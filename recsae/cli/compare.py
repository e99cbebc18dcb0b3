"""Do better recommenders hold more concepts? A page and a table of several runs, as they are served.

python -m jobs.compare --config jobs/configs/ml1m.toml --config jobs/configs/ml1m-bprmf.toml --to models.html
ray job submit --working-dir . -- python -m jobs.compare --config jobs/configs/ml1m.toml --set store.root=/data/runs --config jobs/configs/ml1m-bprmf.toml --to /data/models.html
"""  # noqa: E501  The line that submits the job is one line.

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from recsae.cli.command import Parser, ending, refuse_lost, refuse_overwriting
from recsae.cli.render import terminal
from recsae.comparison.models import compare
from recsae.comparison.page import models_page
from recsae.comparison.pairs import MEASURES, compare_pairs
from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup.served import served
from recsae.schemas.comparison import MODELS
from recsae.store.atomic_output import atomic_parquet_writer, atomic_writer, beside, resolve_output
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain


def main() -> None:
    parser = Parser("compare", config=False)
    parser.add_argument(
        "--config", action="append", required=True, metavar="FILE", help="a run; give it again for every other run"
    )
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a key of every config")
    parser.add_argument(
        "--to", required=True, metavar="FILE", help="an HTML file; its table goes beside it, as Parquet"
    )
    arguments = parser.parse_args()
    with ending("nothing was written"):
        configs = [load(path, arguments.set) for path in arguments.config]
        refuse_lost("--to", arguments.to)
        for path, config in zip(arguments.config, configs, strict=True):
            refuse_lost("store.root", config.store.root)
            refuse_overwriting(arguments.to, {"--config": path})
        _refuse_twice(configs)
        folder, name = resolve_output("--to", arguments.to)
        if not name.endswith(".html"):
            raise BadInput(f"--to {arguments.to}: the page is HTML; give a name that ends so, models.html")
        models = compare([(config, served(config)) for config in configs])
        table = name.removesuffix("html") + "parquet"
        with ExitStack() as both:  # neither file takes its name before the other is whole
            rows = both.enter_context(atomic_parquet_writer(folder, table, MODELS))
            page = both.enter_context(atomic_writer(folder, name))
            rows.write_table(models)
            page.write(models_page(models).encode())
        _print(models)
        print(f"wrote {plain(redact_uri(arguments.to))}, and the same as a table: {plain(beside(arguments.to, table))}")


def _refuse_twice(configs: list[Config]) -> None:
    if len(configs) < 2:
        raise BadInput("--config: one run alone compares with nothing; give it again for each other run")
    runs = [(config.store.root, config.name) for config in configs]
    for number, (_, name) in enumerate(runs):
        if runs[number] in runs[:number]:
            raise BadInput(f"--config: run {name} is given twice; leave one out, or give the other a name of its own")


def _print(models: pa.Table) -> None:
    console, rows = terminal.console(), models.to_pylist()
    headings = ("NDCG@10", "latents", "interpretable", "share", "different", "rarefied", "attribute values", "mean r")
    table = terminal.table("run", "recommender", "data", figures=headings)
    for row in rows:
        table.add_row(plain(row["run"]), plain(row["recommender"]), plain(row["data"]), *_figures(row))
    console.print(table)
    for one in compare_pairs(rows):
        if sum(one.every):
            clear = f"; in {one.clear.more} of {sum(one.clear)} clear ones" if sum(one.clear) else ""
            pairs = f"{one.every.more} of {sum(one.every)} pairs"
            told = f"{MEASURES[one.measure]}: the better recommender has more in {pairs}{clear}"
            console.print(told, soft_wrap=True)


def _figures(row: Mapping[str, Any]) -> list[str]:
    return [
        terminal.number(row["ndcg_10"], 4),
        f"{row['latents']:,}",
        f"{row['interpretable']:,} of {row['asked']:,}",
        terminal.share(row["share"]),
        f"{row['distinct']:,}",
        terminal.number(row["rarefied"], 1),
        f"{row['answered']:,} of {row['values']:,}",
        terminal.number(row["correlation"], 3),
    ]


if __name__ == "__main__":
    main()
