"""A steering policy: operations on latents of one SAE, the users it applies to, and what was measured.

It is a JSON file that people read and may edit, so every key is checked on reading, and a policy made for another SAE,
recommender or site is refused.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from recsae.config.base import Section
from recsae.errors import BadInput
from recsae.steering.operations import WITHOUT_VALUE, Kind, Operation
from recsae.steering.operations import check as check_operations
from recsae.store.atomic_output import atomic_writer
from recsae.store.filesystem import Folder, as_json
from recsae.store.run_store import Committed
from recsae.store.validated_json import read_edited


class PolicyStep(Section):
    """An operation, as stored in the file."""

    latent: int
    """Number of the latent in the dictionary."""
    concept: str | None = None
    """Its name in the dictionary, for readers; it has no effect."""
    operation: Kind
    value: float = 0.0
    """f of `scale`, α of `add`, c of `set`, in the units of activations; 0 for operations without one."""


class MadeFor(Section):
    """Fingerprints of the recommender and the SAE it was made for, and the SAE's site."""

    recommender: str
    sae: str
    site: str


class Users(Section):
    """The users a policy applies to: a segment of the users table, or a list of ids."""

    attribute: str | None = None
    value: str | None = None
    ids: Annotated[tuple[str, ...] | None, Field(strict=False, min_length=1)] = None


class Policy(Section):
    """A frozen policy; with empty `operations` it does nothing."""

    format: Literal["recsae steering policy"] = "recsae steering policy"
    version: Literal[1] = 1
    made_for: MadeFor
    users: Users | None = None
    """None: everybody."""
    operations: Annotated[tuple[PolicyStep, ...], Field(strict=False)]
    found: dict[str, Any] = Field(default={})
    """Measurements from when it was made; they have no effect."""

    def steps(self) -> list[Operation]:
        """The operations as `Steering` takes them."""
        return [Operation(one.latent, one.operation, one.value) for one in self.operations]


def read(option: str, source: str) -> Policy:
    """The policy at a path or URI. Raises BadInput naming the option, the file and the key."""
    policy = read_edited(option, source, Policy, "policy", "`recsae tune`")
    try:
        _check_consistency(policy)
    except BadInput as error:
        raise BadInput(f"{option} {source}: {error}") from None
    return policy


def write(policy: Policy, folder: Folder, name: str) -> None:
    """Write the policy atomically, replacing any file of that name."""
    with atomic_writer(folder, name) as sink:
        sink.write(as_json(json.loads(policy.model_dump_json())))


def check(
    option: str, source: str, policy: Policy, recommender: Committed, sae: Committed, site: str, num_latents: int
) -> None:
    """Raise BadInput if it was made for another recommender, SAE or site, or names an unknown latent."""
    for what, made_for, here in (
        ("recommender", policy.made_for.recommender, recommender.fingerprint),
        ("SAE", policy.made_for.sae, sae.fingerprint),
        ("site", policy.made_for.site, site),
    ):
        if made_for != here:
            raise BadInput(
                f"{option} {source}: made for another {what} ({made_for}; this config has {here}); make one for this "
                "config with `recsae tune`, or give the config that it was made for"
            )
    try:
        check_operations(policy.steps(), num_latents)
    except BadInput as error:
        raise BadInput(f"{option} {source}: {error}") from None


def _check_consistency(policy: Policy) -> None:
    """Raise BadInput if keys contradict each other."""
    for number, one in enumerate(policy.operations):
        if one.operation not in WITHOUT_VALUE and "value" not in one.model_fields_set:
            raise BadInput(f"operations.{number}.value is missing; add it")
        if one.operation in WITHOUT_VALUE and one.value:
            raise BadInput(
                f"{one.operation} on latent {one.latent} takes no value, and {one.value:g} is given; drop it"
            )
    users = policy.users
    if users is not None:
        segment = users.attribute is not None and users.value is not None
        if segment == (users.ids is not None) or (users.attribute is None) != (users.value is None):
            raise BadInput("users takes attribute and value, or ids; give either")
