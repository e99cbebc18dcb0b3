"""The command `recommend`: recommendations for users as they stand today, clean or under a steering policy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from recsae.cli.command import connect, ending, refuse_overwriting, refuse_relative_in_job
from recsae.cli.run_config import RunConfig, takes_config
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.store.atomic_output import atomic_parquet_writer, resolve_output
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

if TYPE_CHECKING:
    from recsae.steering.recommending import RecommendationRequest


@click.command
@takes_config
@click.option("--policy", "source", metavar="FILE", help="a steering policy, as `tune` writes it; left out: clean")
@click.option("--k", type=int, default=10, help="items for each user (10)")
@click.option("--users", default="all", metavar="all|FILE", help="a text file with one user id a line")
@click.option("--to", required=True, metavar="FILE", help="a Parquet file, by its path or URI")
def recommend(config: RunConfig, source: str | None, k: int, users: str, to: str) -> None:
    """Write recommendations for users as they stand today, clean or under a steering policy, as one Parquet file."""
    with ending("nothing was written"):
        loaded = config.load()
        read = {"--policy": source, "--users": users}
        for option, path in {"--to": to, **read}.items():
            if path not in (None, "all"):
                refuse_relative_in_job(option, str(path))
        refuse_overwriting(to, {"--config": config.path, **read})
        from recsae.schemas.steering import RECOMMENDATIONS
        from recsae.steering import recommending

        asked = ask(loaded, source, k, users)
        folder, name = resolve_output("--to", to)
        connect(loaded)
        start, count, steered = time.monotonic(), 0, 0
        with atomic_parquet_writer(folder, name, RECOMMENDATIONS) as out:
            for found in recommending.recommend(asked):
                out.write_table(found.table)
                count, steered = count + found.users, steered + found.steered
        told = f", {steered:,} of them steered" if source else ""
        print(
            f"wrote {plain(redact_uri(to))}: up to {asked.k} items for each of {count:,} users{told}, "
            f"{time.monotonic() - start:.1f} s"
        )


def ask(config: Config, source: str | None, k: int, users: str) -> RecommendationRequest:
    """What the command line asks for. Raises BadInput."""
    from recsae.pipeline.runner import Pipeline
    from recsae.policies import apply, audience, policy
    from recsae.steering.recommending import RecommendationRequest

    if k < 1:
        raise BadInput(f"--k {k}: give at least 1")
    pipeline = Pipeline(config)
    ingested, recommender = pipeline.require("recommend", "ingest", "recommender").values()
    if recommender.metrics["kind"] == "given":
        raise BadInput("recommender.kind = given: there are activations and no recommender that could recommend")
    wanted = None
    if users != "all":
        wanted = audience.by_ids(f"--users {users}", ingested, audience.read_ids("--users", users))
    asked = RecommendationRequest(
        ingested,
        recommender,
        config.probe.site,
        min(k, int(ingested.metrics["items"])),
        wanted,
        device=config.resources.device,
    )
    if source is None:
        return asked
    given = policy.read("--policy", source)
    sae = pipeline.require("--policy", "sae")["sae"]
    return apply.steer("--policy", source, given, asked, sae)
