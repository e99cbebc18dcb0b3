"""Why a user is recommended what he is: on the terminal for one user, as a Parquet file for many.

python -m jobs.explain --config jobs/configs/demo.toml --user user-0001 [--item item-0002]
ray job submit --working-dir . -- python -m jobs.explain --config jobs/configs/ml1m.toml --set store.root=/data/runs --users all --to /data/explanations.parquet
"""  # noqa: E501  The line that submits the job is one line.

from __future__ import annotations

import argparse

import numpy as np

from recsae.cli.command import Parser, connect, ending, refuse_lost, refuse_overwriting
from recsae.cli.render.explanation import print_explanation
from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.errors import BadInput
from recsae.explain.many import ExplanationRequest, Names, explain_one, write_explanations
from recsae.policies import audience
from recsae.steering.user_batches import user_ids
from recsae.store.atomic_output import resolve_output
from recsae.store.run_store import Committed
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

NEEDED = ("ingest", "recommender", "sae", "concepts")


def main() -> None:
    parser = Parser("explain")
    parser.add_argument("--user", metavar="ID", help="one user, printed")
    parser.add_argument("--item", metavar="ID", help="this item for him, seen or not, and not his first ten")
    parser.add_argument("--users", metavar="FILE", help="many users: `all`, or a text file with an id on each line")
    parser.add_argument("--to", metavar="FILE", help="the Parquet file for many users, a path or URI")
    parser.add_argument("--concepts", type=int, default=5, metavar="N", help="the strongest of each item (5)")
    arguments = parser.parse_args()
    with ending("nothing was written"):
        _check(arguments)
        config = load(arguments.config, arguments.set)
        refuse_lost("store.root", config.store.root)
        if arguments.to is not None:
            refuse_overwriting(arguments.to, {"--config": arguments.config, "--users": arguments.users})
        asked = _asked(config, arguments.concepts)
        if arguments.user is not None:
            _print(asked, arguments.user, arguments.item)
        else:
            _write(config, asked, arguments.users, arguments.to)


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.user is None) == (arguments.users is None):
        raise BadInput("name whom to explain: either --user with one id, or --users with `all` or a file of ids")
    if (arguments.users is None) != (arguments.to is None):
        raise BadInput("--users and --to go together: explanations of many users are written to a Parquet file")
    if arguments.item is not None and arguments.user is None:
        raise BadInput("--item goes with --user; for many users the first ten items of each are explained")
    if arguments.concepts < 1:
        raise BadInput(f"--concepts {arguments.concepts} shows none; give 1 or more")


def _asked(config: Config, concepts: int) -> ExplanationRequest:
    """What is explained. Raises BadInput where there is no model, or a stage has not been made."""
    from recsae.pipeline.runner import Pipeline

    if config.recommender.kind == "given":
        raise BadInput(
            "recommender.kind = given: activations alone recommend nothing, so there is no score to explain; "
            "give the recommender itself"
        )
    pipeline = Pipeline(config)
    found: dict[str, Committed] = {}
    for name in NEEDED:
        stage = pipeline.committed(name)
        if stage is None:
            raise BadInput(
                f"explain needs {name}, which this config has not made yet; run `python -m jobs.{name}` first, "
                "or `python -m jobs.nightly` for all"
            )
        found[name] = stage
    sae = found["sae"].data.child("model")
    names = Names.read(found["concepts"], sae)
    device = config.resources.device
    return ExplanationRequest(found["ingest"], found["recommender"], sae, config.probe.site, names, concepts, device)


def _print(asked: ExplanationRequest, user_id: str, item_id: str | None) -> None:
    """One user, in this process."""
    user = np.flatnonzero(user_ids(asked.ingested) == user_id)
    if not len(user):
        raise BadInput(f"--user {user_id}: the data has no such user, or a filter left him out; give another id")
    catalogue = Catalogue.read(asked.ingested)
    if item_id is not None and item_id not in catalogue.ids:
        raise BadInput(f"--item {item_id}: the catalogue has no such item, or a filter left it out; give another id")
    item_BT = None if item_id is None else np.array([[catalogue.ids.index(item_id)]])
    found, present = explain_one(asked, int(user[0]), item_BT)
    print_explanation(found, asked, user_id, present.seen[0], catalogue)


def _write(config: Config, asked: ExplanationRequest, users: str, to: str) -> None:
    """Many users, by Ray tasks."""
    refuse_lost("--to", to)
    wanted = None
    if users != "all":
        refuse_lost("--users", users)
        wanted = audience.by_ids(f"--users {users}", asked.ingested, audience.read_ids("--users", users))
    folder, name = resolve_output("--to", to)
    connect(config)
    written = write_explanations(asked, wanted, folder, name)
    count = asked.ingested.metrics["users"] if wanted is None else len(wanted)
    print(f"wrote {plain(redact_uri(to))}: {written:,} recommendations of {count:,} users")


if __name__ == "__main__":
    main()
