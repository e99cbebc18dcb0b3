"""The command `explain`: why users are recommended what they are, on the terminal for one, as a file for many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from recsae.cli.command import connect, ending, refuse_overwriting, refuse_relative_in_job
from recsae.cli.run_config import RunConfig, takes_config
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.store.atomic_output import resolve_output
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

if TYPE_CHECKING:
    from recsae.explain.many import ExplanationRequest


@click.command
@takes_config
@click.option("--user", metavar="ID", help="one user, printed")
@click.option("--item", metavar="ID|TITLE", help="this item, seen or not, and not the user's first ten")
@click.option("--users", metavar="all|FILE", help="many users: `all`, or a text file with an id on each line")
@click.option("--to", metavar="FILE", help="the Parquet file for many users, a path or URI")
@click.option("--concepts", type=int, default=5, metavar="N", help="the strongest of each item (5)")
def explain(
    config: RunConfig, user: str | None, item: str | None, users: str | None, to: str | None, concepts: int
) -> None:
    """Explain recommendations as sums over latents: --user on the terminal, --users as the Parquet file --to."""
    with ending("nothing was written"):
        _check(user, item, users, to)
        if concepts < 1:
            raise BadInput(f"--concepts {concepts} shows none; give 1 or more")
        loaded = config.load()
        if to is not None:
            refuse_overwriting(to, {"--config": config.path, "--users": users})
        asked = _asked(loaded, concepts)
        if user is not None:
            _print(asked, user, item)
        elif users is not None and to is not None:
            _write(loaded, asked, users, to)


def _check(user: str | None, item: str | None, users: str | None, to: str | None) -> None:
    if (user is None) == (users is None):
        raise BadInput("name whom to explain: either --user with one id, or --users with `all` or a file of ids")
    if (users is None) != (to is None):
        raise BadInput("--users and --to go together: explanations of many users are written to a Parquet file")
    if item is not None and user is None:
        raise BadInput("--item goes with --user; for many users the first ten items of each are explained")


def _asked(config: Config, concepts: int) -> ExplanationRequest:
    """What is explained. Raises BadInput where there is no model, or a stage has not been made."""
    if config.recommender.kind == "given":
        raise BadInput(
            "recommender.kind = given: activations alone recommend nothing, so there is no score to explain; "
            "give the recommender itself"
        )
    from recsae.explain.many import ExplanationRequest, Names
    from recsae.pipeline.runner import Pipeline

    made = Pipeline(config).require("explain", "ingest", "recommender", "sae", "concepts")
    sae = made["sae"].data.child("model")
    names = Names.read(made["concepts"], sae)
    return ExplanationRequest(
        made["ingest"],
        made["recommender"],
        sae,
        config.probe.site,
        names,
        concepts,
        config.seed,
        config.resources.device,
    )


def _print(asked: ExplanationRequest, user: str, item: str | None) -> None:
    """One user, in this process."""
    from recsae.cli.render.explanation import print_explanation
    from recsae.data.catalogue import Catalogue
    from recsae.explain.many import explain_one
    from recsae.lookup.named import find_item, find_user

    row = find_user(asked.ingested, user)
    item_BT = None if item is None else np.array([[find_item(asked.ingested, item)["item_idx"]]])
    found, present = explain_one(asked, row["user_idx"], item_BT)
    print_explanation(found, asked, row["user_id"], present.seen[0], Catalogue.read(asked.ingested))


def _write(config: Config, asked: ExplanationRequest, users: str, to: str) -> None:
    """Many users, by Ray tasks."""
    from recsae.explain.many import write_explanations
    from recsae.policies import audience

    refuse_relative_in_job("--to", to)
    wanted = None
    if users != "all":
        refuse_relative_in_job("--users", users)
        wanted = audience.by_ids(f"--users {users}", asked.ingested, audience.read_ids("--users", users))
    folder, name = resolve_output("--to", to)
    connect(config)
    written = write_explanations(asked, wanted, folder, name)
    count = asked.ingested.metrics["users"] if wanted is None else len(wanted)
    print(f"wrote {plain(redact_uri(to))}: {written:,} recommendations of {count:,} users")
