"""A steering policy: latents turned so that a bias shrinks, or so that some concepts are recommended more or less.

ray job submit --working-dir . -- python -m jobs.tune --config jobs/configs/ml1m.toml --set store.root=/data/runs --balance popularity --to /data/policy.json
python -m jobs.tune --config jobs/configs/demo.toml --more Western --less Horror --to policy.json
"""  # noqa: E501  The line that submits the job is one line.

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any

from recsae.cli.command import Parser, connect, ending, refuse_lost, refuse_overwriting
from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.policies import audience, policy
from recsae.policies.bias import reduce_bias
from recsae.policies.build import Made
from recsae.policies.concept_shares import ShareTarget, change_shares, find_concepts
from recsae.policies.policy import Policy, Users
from recsae.store.atomic_output import resolve_output
from recsae.store.run_store import Committed
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

TARGET, FACTOR = 0.5, 1.77
MAX_LOSS, MAX_LOSS_OF_WISHES = 0.02, 0.1


def main() -> None:
    parser = Parser("tune")
    parser.add_argument("--balance", metavar="popularity|ATTRIBUTE", help="what to balance: popularity, or of users")
    parser.add_argument("--target", type=float, help=f"what shall be left of the gap; {TARGET:g} if left out")
    parser.add_argument("--more", action="append", default=[], metavar="CONCEPT", help="may be repeated")
    parser.add_argument("--less", action="append", default=[], metavar="CONCEPT", help="may be repeated")
    parser.add_argument("--factor", type=float, help=f"of a concept's share of the first ten; {FACTOR:g} if left out")
    parser.add_argument(
        "--max-loss",
        type=float,
        help=f"share of NDCG@10 that may be lost; {MAX_LOSS:g}, or of wishes {MAX_LOSS_OF_WISHES:g}, if left out",
    )
    parser.add_argument("--segment", metavar="ATTRIBUTE=VALUE", help="of the users table: for these users alone")
    parser.add_argument("--users", metavar="FILE", help="a text file with one user id a line: for these users alone")
    parser.add_argument("--to", required=True, metavar="FILE", help="a JSON file, by its path or URI")
    arguments = parser.parse_args()
    with ending("nothing was written"):
        refuse_unfit(arguments)
        config = load(arguments.config, arguments.set)
        for option, path in (("store.root", config.store.root), ("--to", arguments.to)):
            refuse_lost(option, path)
        refuse_overwriting(arguments.to, {"--config": arguments.config, "--users": arguments.users})
        made = read(config)
        folder, name = resolve_output("--to", arguments.to)
        users = _users(arguments, made)
        if arguments.balance is None:
            wishes = _wishes(arguments, made)
        left_out = MAX_LOSS_OF_WISHES if arguments.balance is None else MAX_LOSS
        max_loss = left_out if arguments.max_loss is None else arguments.max_loss
        connect(config)
        if arguments.balance is not None:
            target = TARGET if arguments.target is None else arguments.target
            found = reduce_bias(config, made, arguments.balance, target, max_loss)
        else:
            found = change_shares(config, made, wishes, users, max_loss)
        policy.write(found, folder, name)
        for line in told(found):
            print(plain(line))
        print(f"policy  {plain(redact_uri(arguments.to))}")


def refuse_unfit(arguments: argparse.Namespace) -> None:
    """Raises BadInput where options do not go together, or a number is none that could be meant."""
    concepts = [*arguments.more, *arguments.less]
    if (arguments.balance is not None) == bool(concepts):
        raise BadInput("give --balance, or --more and --less; one policy does one of the two")
    unfit = {"--target": arguments.target} if concepts else {"--factor": arguments.factor}
    unfit |= {} if concepts else {"--segment": arguments.segment, "--users": arguments.users}
    for option, value in unfit.items():
        if value is not None:
            raise BadInput(f"{option} goes with {'--balance' if concepts else '--more and --less'}; leave it out here")
    for option, value in (("--target", arguments.target), ("--max-loss", arguments.max_loss)):
        if value is not None and not 0 <= value < 1:
            raise BadInput(f"{option} {value:g}: give a share from 0 to below 1")
    if arguments.factor is not None and not (math.isfinite(arguments.factor) and arguments.factor > 1):
        raise BadInput(f"--factor {arguments.factor:g}: give a finite number above 1; --less takes one by it")
    if arguments.segment is not None and arguments.users is not None:
        raise BadInput("--segment and --users both say for whom; leave one of them out")
    if arguments.segment is not None and not all(arguments.segment.partition("=")):
        raise BadInput(f"--segment {arguments.segment}: write it as attribute=value")


def read(config: Config) -> Made:
    """What the stages before have made. Raises BadInput where one has not run, or there is no recommender to steer."""
    from recsae.pipeline.runner import Pipeline

    pipeline, found = Pipeline(config), dict[str, Committed]()
    for name in ("ingest", "recommender", "activations", "sae"):
        done = pipeline.committed(name)
        if done is None:
            raise BadInput(f"this config has not made its {name} yet; run `python -m jobs.{name}` first")
        found[name] = done
    if found["recommender"].metrics["kind"] == "given":
        raise BadInput("recommender.kind = given: there are activations and no recommender that could be steered")
    concepts = pipeline.committed("concepts")
    return Made.of(found if concepts is None else found | {"concepts": concepts})


def told(found: Policy) -> list[str]:
    """What the policy does and what was measured of it, in lines."""
    lines = [_turned(one) for one in found.operations] or ["no operation helps: the policy is empty"]
    measured = found.found["score"]
    lines.append(f"on {measured['users']:,} users who did not choose it:" if _apart(found) else "on these users:")
    for name, of in measured["figures"].items():
        lines.append(f"  {name:<23} {_figure(of)}")
    if "floor" in measured:
        floor = measured["floor"]
        lines.append(
            f"  of users dealt to groups at random the gap is {floor['before']:.4g}, then {floor['after']:.4g}"
        )
    for name, of in measured.get("null", {}).items():
        if isinstance(of, Mapping) and name in (*_sought(found), "ndcg@10"):
            low, high = of["interval"]
            lines.append(f"  the same on random latents: {name} {of['change']:+.1%} [{low:+.1%}, {high:+.1%}]")
    return [*lines, *_missed(found)]


def _missed(found: Policy) -> list[str]:
    """What was asked for and not reached, plainly."""
    asked = found.found["asked"]
    if "balance" in asked:
        if all(found.found["met"].values()):
            return []
        where = "score users" if found.found["met"]["select"] else "the users it was sought on"
        wanted = f"{asked['target']:g} of the gap at a loss of {asked['max_loss']:.1%}"
        return [f"the target ({wanted}) is NOT met on {where}; this is the best that was found"]
    return [
        f"{row['concept']}: a factor of {row['factor']:.3g} is NOT reached; this is the nearest that was found"
        for row in found.found["select"]
        if not row["met"]
    ]


def _apart(found: Policy) -> bool:
    return found.users is None or found.users.ids is None


def _sought(found: Policy) -> list[str]:
    return [name for name in found.found["score"]["figures"] if name == "gap" or name.startswith("share of ")]


def _turned(one: policy.PolicyStep) -> str:
    value = "" if one.operation in ("ablate", "project") else f" {one.value:+.4g}"
    return f"{one.operation}{value} latent {one.latent}" + (f" ({one.concept})" if one.concept else "")


def _figure(of: Mapping[str, Any]) -> str:
    if of["before"] == of["after"]:
        return f"{of['before']:.4g}"
    found = f"{of['before']:.4g} -> {of['after']:.4g}"
    if of.get("change") is None:
        return found
    low, high = of["change_interval"]
    return f"{found}  {of['change']:+.1%} [{low:+.1%}, {high:+.1%}]"


def _users(arguments: argparse.Namespace, made: Made) -> Users | None:
    """For whom. Raises BadInput, naming the option, on who is not there."""
    if arguments.segment is not None:
        attribute, _, value = arguments.segment.partition("=")
        users = Users(attribute=attribute, value=value)
        audience.members(f"--segment {arguments.segment}", made.ingested, users)
        return users
    if arguments.users is not None:
        ids = audience.read_ids("--users", arguments.users)
        audience.by_ids(f"--users {arguments.users}", made.ingested, ids)
        return Users(ids=tuple(dict.fromkeys(ids)))
    return None


def _wishes(arguments: argparse.Namespace, made: Made) -> list[ShareTarget]:
    factor = FACTOR if arguments.factor is None else arguments.factor
    wishes = [ShareTarget("--more", name, factor) for name in arguments.more]
    wishes += [ShareTarget("--less", name, 1 / factor) for name in arguments.less]
    find_concepts(made, wishes)
    return wishes


if __name__ == "__main__":
    main()
