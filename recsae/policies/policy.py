"""A steering policy: operations on the latents of one SAE, for whom they are, and what was measured of them.

It is a JSON file that people read and may edit, so every key is checked when it is read back, and a policy made for
another SAE, recommender or site is refused. It knows files and fingerprints, and neither models nor how a policy is
found.
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
    """An operation as people read it."""

    latent: int
    """As the dictionary counts it."""
    concept: str | None = None
    """Its name there: for people; nothing follows from it."""
    operation: Kind
    value: float = 0.0
    """f of `scale`, α of `add`, c of `set`, in the units of activations; 0 where there is none."""


class MadeFor(Section):
    """Fingerprints of what it was made for, and the site at which that SAE reads."""

    recommender: str
    sae: str
    site: str


class Users(Section):
    """Those for whom the policy is: a segment of the users table, or some by their ids."""

    attribute: str | None = None
    value: str | None = None
    ids: Annotated[tuple[str, ...] | None, Field(strict=False, min_length=1)] = None


class Policy(Section):
    """A frozen policy; `operations` may be empty, and then it does nothing."""

    format: Literal["recsae steering policy"] = "recsae steering policy"
    version: Literal[1] = 1
    made_for: MadeFor
    users: Users | None = None
    """Left out: everybody."""
    operations: Annotated[tuple[PolicyStep, ...], Field(strict=False)]
    found: dict[str, Any] = Field(default={})
    """What was measured when it was made; nothing follows from it."""

    def steps(self) -> list[Operation]:
        """The operations as `Steering` takes them."""
        return [Operation(one.latent, one.operation, one.value) for one in self.operations]


def read(option: str, source: str) -> Policy:
    """A policy from a path or URI. Raises BadInput that names the option, the file and the key."""
    policy = read_edited(option, source, Policy, "policy", "`recsae tune`")
    try:
        _fits_together(policy)
    except BadInput as error:
        raise BadInput(f"{option} {source}: {error}") from None
    return policy


def write(policy: Policy, folder: Folder, name: str) -> None:
    """Write it whole; what was there under that name is replaced in one step."""
    with atomic_writer(folder, name) as sink:
        sink.write(as_json(json.loads(policy.model_dump_json())))


def check(
    option: str, source: str, policy: Policy, recommender: Committed, sae: Committed, site: str, num_latents: int
) -> None:
    """Raises BadInput where it was made for another recommender, SAE or site, or names a latent that there is not."""
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


def _fits_together(policy: Policy) -> None:
    """What no single key shows."""
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
