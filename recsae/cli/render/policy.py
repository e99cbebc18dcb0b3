"""A steering policy as the terminal shows it: its operations and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsae.policies.policy import Policy, PolicyStep
from recsae.text.sanitize import plain


def print_policy(found: Policy) -> None:
    """Print what the policy does and what was measured of it, in lines."""
    for line in told(found):
        print(plain(line))


def told(found: Policy) -> list[str]:
    """What the policy does and what was measured of it, in lines."""
    lines = [_step(one) for one in found.operations] or ["no operation helps: the policy is empty"]
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


def _step(one: PolicyStep) -> str:
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
