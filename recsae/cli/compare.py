"""The command `compare`: several runs side by side, as they are served, as a page and a table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import click

from recsae.cli.command import ending, refuse_overwriting, refuse_relative_in_job
from recsae.cli.render.models import print_models
from recsae.cli.run_config import FILE, RunConfig
from recsae.comparison.models import compare as compare_models
from recsae.comparison.page import models_page
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup.served import served
from recsae.schemas.comparison import MODELS
from recsae.store.atomic_output import atomic_parquet_writer, atomic_writer, beside, resolve_output
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain


@click.command
@click.option(
    "--config", "paths", multiple=True, required=True, type=FILE, help="a run; give it again for every other run"
)
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="override a key of every config")
@click.option("--to", required=True, metavar="FILE", help="an HTML file; its table goes beside it, as Parquet")
def compare(paths: Sequence[str], overrides: Sequence[str], to: str) -> None:
    """Write a page and a table of several runs: do better recommenders hold more concepts?"""
    with ending("nothing was written"):
        configs = [RunConfig(path, overrides).load() for path in paths]
        refuse_relative_in_job("--to", to)
        for path in paths:
            refuse_overwriting(to, {"--config": path})
        _refuse_twice(configs)
        folder, name = resolve_output("--to", to)
        if not name.endswith(".html"):
            raise BadInput(f"--to {to}: the page is HTML; give a name that ends so, models.html")
        models = compare_models([(config, served(config)) for config in configs])
        table = name.removesuffix("html") + "parquet"
        with ExitStack() as both:  # neither file takes its name before the other is whole
            rows = both.enter_context(atomic_parquet_writer(folder, table, MODELS))
            page = both.enter_context(atomic_writer(folder, name))
            rows.write_table(models)
            page.write(models_page(models).encode())
        print_models(models)
        print(f"wrote {plain(redact_uri(to))}, and the same as a table: {plain(beside(to, table))}")


def _refuse_twice(configs: list[Config]) -> None:
    if len(configs) < 2:
        raise BadInput("--config: one run alone compares with nothing; give it again for each other run")
    runs = [(config.store.root, config.name) for config in configs]
    for number, (_, name) in enumerate(runs):
        if runs[number] in runs[:number]:
            raise BadInput(f"--config: run {name} is given twice; leave one out, or give the other a name of its own")
