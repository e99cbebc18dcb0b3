"""Recommendations for users as they stand today, clean or under a steering policy, as one Parquet file.

ray job submit --working-dir . -- python -m jobs.recommend --config jobs/configs/ml1m.toml --set store.root=/data/runs --policy /data/policy.json --to /data/recommendations.parquet
"""  # noqa: E501  The line that submits the job is one line.

from __future__ import annotations

import time

from recsae.cli.command import Parser, connect, ending, refuse_lost, refuse_overwriting
from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.policies import apply, audience, policy
from recsae.schemas.steering import RECOMMENDATIONS
from recsae.steering.recommending import RecommendationRequest, recommend
from recsae.store.atomic_output import atomic_parquet_writer, resolve_output
from recsae.store.run_store import Committed
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain


def main() -> None:
    parser = Parser("recommend")
    parser.add_argument("--policy", metavar="FILE", help="a steering policy, as jobs.tune writes it; left out: clean")
    parser.add_argument("--k", type=int, default=10, help="items for each user (10)")
    parser.add_argument("--users", default="all", metavar="all|FILE", help="a text file with one user id a line")
    parser.add_argument("--to", required=True, metavar="FILE", help="a Parquet file, by its path or URI")
    arguments = parser.parse_args()
    with ending("nothing was written"):
        config = load(arguments.config, arguments.set)
        read = {"--policy": arguments.policy, "--users": arguments.users}
        for option, path in {"store.root": config.store.root, "--to": arguments.to, **read}.items():
            if path not in (None, "all"):
                refuse_lost(option, path)
        refuse_overwriting(arguments.to, {"--config": arguments.config, **read})
        asked = ask(config, arguments.policy, arguments.k, arguments.users)
        folder, name = resolve_output("--to", arguments.to)
        connect(config)
        start, users, steered = time.monotonic(), 0, 0
        with atomic_parquet_writer(folder, name, RECOMMENDATIONS) as out:
            for found in recommend(asked):
                out.write_table(found.table)
                users, steered = users + found.users, steered + found.steered
        told = f", {steered:,} of them steered" if arguments.policy else ""
        print(
            f"wrote {plain(redact_uri(arguments.to))}: up to {asked.k} items for each of {users:,} users{told}, "
            f"{time.monotonic() - start:.1f} s"
        )


def ask(config: Config, source: str | None, k: int, users: str) -> RecommendationRequest:
    """What the command line asks for. Raises BadInput."""
    from recsae.pipeline.runner import Pipeline

    if k < 1:
        raise BadInput(f"--k {k}: give at least 1")
    pipeline = Pipeline(config)
    ingested, recommender = (_made(pipeline.committed(name), name) for name in ("ingest", "recommender"))
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
    sae = _made(pipeline.committed("sae"), "sae")
    return apply.steer("--policy", source, given, asked, sae)


def _made(found: Committed | None, name: str) -> Committed:
    if found is None:
        raise BadInput(f"this config has not made its {name} yet; run `python -m jobs.{name}` first")
    return found


if __name__ == "__main__":
    main()
