"""The command `tune`: a steering policy that shrinks a bias, or has some concepts recommended more or less."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from recsae.cli.command import connect, ending, refuse_overwriting, refuse_relative_in_job
from recsae.cli.run_config import RunConfig, takes_config
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.store.atomic_output import resolve_output
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

if TYPE_CHECKING:
    from recsae.policies.build import PolicyInputs
    from recsae.policies.concept_shares import ShareTarget
    from recsae.policies.policy import Policy, Users

TARGET, FACTOR = 0.5, 1.77
MAX_LOSS, MAX_LOSS_OF_SHARES = 0.02, 0.1


@dataclass(frozen=True)
class TuneOptions:
    """What the policy is for, as the command line says it; None: left out."""

    balance: str | None
    target: float | None
    more: tuple[str, ...]
    less: tuple[str, ...]
    factor: float | None
    max_loss: float | None
    segment: str | None
    users: str | None

    def refuse_unfit(self) -> None:
        """Raises BadInput where options do not go together, or a number cannot be meant."""
        concepts = [*self.more, *self.less]
        if (self.balance is not None) == bool(concepts):
            raise BadInput("give --balance, or --more and --less; one policy does one of the two")
        unfit = {"--target": self.target} if concepts else {"--factor": self.factor}
        segment = {} if concepts else {"--segment": self.segment, "--users": self.users}
        for option, value in {**unfit, **segment}.items():
            if value is not None:
                raise BadInput(
                    f"{option} goes with {'--balance' if concepts else '--more and --less'}; leave it out here"
                )
        for option, share in (("--target", self.target), ("--max-loss", self.max_loss)):
            if share is not None and not 0 <= share < 1:
                raise BadInput(f"{option} {share:g}: give a share from 0 to below 1")
        if self.factor is not None and not (math.isfinite(self.factor) and self.factor > 1):
            raise BadInput(f"--factor {self.factor:g}: give a finite number above 1; --less takes one by it")
        if self.segment is not None and self.users is not None:
            raise BadInput("--segment and --users both say for whom; leave one of them out")
        if self.segment is not None and not all(self.segment.partition("=")):
            raise BadInput(f"--segment {self.segment}: write it as attribute=value")


@click.command
@takes_config
@click.option("--balance", metavar="popularity|ATTRIBUTE", help="what to balance: popularity, or an attribute of users")
@click.option("--target", type=float, help=f"the share of the gap that may remain; {TARGET:g} if left out")
@click.option("--more", multiple=True, metavar="CONCEPT", help="may be repeated")
@click.option("--less", multiple=True, metavar="CONCEPT", help="may be repeated")
@click.option("--factor", type=float, help=f"of a concept's share of the first ten; {FACTOR:g} if left out")
@click.option(
    "--max-loss",
    type=float,
    help=f"share of NDCG@10 that may be lost; {MAX_LOSS:g}, or with --more and --less {MAX_LOSS_OF_SHARES:g}",
)
@click.option("--segment", metavar="ATTRIBUTE=VALUE", help="of the users table: for these users alone")
@click.option("--users", metavar="FILE", help="a text file with one user id a line: for these users alone")
@click.option("--to", required=True, metavar="FILE", help="a JSON file, by its path or URI")
def tune(config: RunConfig, to: str, **given: Any) -> None:
    """Search for a steering policy and measure it on other users: --balance shrinks a bias, --more and --less change
    how often concepts are recommended."""
    options = TuneOptions(**given)
    with ending("nothing was written"):
        options.refuse_unfit()
        loaded = config.load()
        refuse_relative_in_job("--to", to)
        refuse_overwriting(to, {"--config": config.path, "--users": options.users})
        from recsae.cli.render.policy import print_policy
        from recsae.policies import policy

        made = _made(loaded)
        folder, name = resolve_output("--to", to)
        found = _search(loaded, made, options)
        policy.write(found, folder, name)
        print_policy(found)
        print(f"policy  {plain(redact_uri(to))}")


def _search(config: Config, made: PolicyInputs, options: TuneOptions) -> Policy:
    """The policy. What is not there is refused before Ray is started."""
    from recsae.policies.bias import reduce_bias
    from recsae.policies.concept_shares import change_shares

    users = _users(options, made)
    if options.balance is not None:
        connect(config)
        target = TARGET if options.target is None else options.target
        max_loss = MAX_LOSS if options.max_loss is None else options.max_loss
        return reduce_bias(config, made, options.balance, target, max_loss)
    targets = _targets(options, made)
    connect(config)
    max_loss = MAX_LOSS_OF_SHARES if options.max_loss is None else options.max_loss
    return change_shares(config, made, targets, users, max_loss)


def _made(config: Config) -> PolicyInputs:
    """What the stages before have made. Raises BadInput where one has not run, or there is no recommender to steer."""
    from recsae.pipeline.runner import Pipeline
    from recsae.policies.build import PolicyInputs

    pipeline = Pipeline(config)
    found = pipeline.require("tune", "ingest", "recommender", "activations", "sae")
    if found["recommender"].metrics["kind"] == "given":
        raise BadInput("recommender.kind = given: there are activations and no recommender that could be steered")
    for name in ("concepts", "statements"):
        if (stage := pipeline.committed(name)) is not None:
            found[name] = stage
    return PolicyInputs.of(found)


def _users(options: TuneOptions, made: PolicyInputs) -> Users | None:
    """The users that the policy is for; None: all. Raises BadInput, naming the option, on one that is not there."""
    from recsae.policies import audience
    from recsae.policies.policy import Users

    if options.segment is not None:
        attribute, _, value = options.segment.partition("=")
        users = Users(attribute=attribute, value=value)
        audience.members(f"--segment {options.segment}", made.ingested, users)
        return users
    if options.users is not None:
        ids = audience.read_ids("--users", options.users)
        audience.by_ids(f"--users {options.users}", made.ingested, ids)
        return Users(ids=tuple(dict.fromkeys(ids)))
    return None


def _targets(options: TuneOptions, made: PolicyInputs) -> list[ShareTarget]:
    """Shares of concepts to reach. Raises BadInput on a concept that the dictionary lacks."""
    from recsae.policies.concept_shares import ShareTarget, find_concepts

    factor = FACTOR if options.factor is None else options.factor
    targets = [ShareTarget("--more", name, factor) for name in options.more]
    targets += [ShareTarget("--less", name, 1 / factor) for name in options.less]
    find_concepts(made, targets)
    return targets
