"""Selects users by id or by a segment of the users table, and groups them by an attribute.

Shape suffix: U users, by user_idx.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.errors import BadInput
from recsae.policies.policy import Users
from recsae.steering.user_batches import user_ids
from recsae.store.filesystem import file_at
from recsae.store.run_store import Committed


class Groups(NamedTuple):
    """Users by the value of one attribute."""

    values: list[str]
    """Values with enough users, most frequent first."""
    group_U: np.ndarray
    """int32, an index into `values`; -1: the user has none of them."""
    part_U: np.ndarray
    """object, as in the users table."""


def groups(ingested: Committed, attribute: str, least: int) -> Groups:
    """Groups by the values that at least `least` users have; a user with several values counts under the first.

    Raises BadInput if the users table lacks the attribute, or fewer than two values have enough users.
    """
    users, values, parts = _attribute_values(ingested, attribute)
    value_U = np.full(len(parts), None, dtype=object)
    value_U[users[::-1]] = values[::-1]
    held, counts = np.unique(value_U[value_U != None].astype(str), return_counts=True)  # noqa: E711  element by element
    order = sorted(np.flatnonzero(counts >= least).tolist(), key=lambda place: (-counts[place], held[place]))
    kept = [str(held[place]) for place in order]
    if len(kept) < 2:
        raise BadInput(
            f"--balance {attribute}: fewer than two of its values have {least} users, so there is nothing to balance; "
            "give another attribute"
        )
    place = {value: number for number, value in enumerate(kept)}
    group_U = np.array([place.get(value, -1) for value in value_U], dtype=np.int32)
    return Groups(kept, group_U, parts)


def members(where: str, ingested: Committed, users: Users | None) -> np.ndarray | None:
    """`user_idx` of a policy's users, ascending; None: everybody.

    Raises BadInput, starting with `where`, on an unknown user, attribute or value.
    """
    if users is None:
        return None
    if users.ids is not None:
        return by_ids(where, ingested, users.ids)
    found, values, _ = _attribute_values(ingested, str(users.attribute), where)
    inside = values == users.value
    if not inside.any():
        near = _nearest(str(users.value), {str(value) for value in values})
        raise BadInput(f"{where}: no user has {users.attribute} = {users.value}; {near}")
    return np.unique(found[inside])


def by_ids(where: str, ingested: Committed, ids: Iterable[str]) -> np.ndarray:
    """`user_idx` of external ids, ascending. Raises BadInput on an unknown id."""
    place = {str(user_id): user for user, user_id in enumerate(user_ids(ingested))}
    found = []
    for user_id in ids:
        if user_id not in place:
            raise BadInput(
                f"{where}: user {user_id} is none of the {len(place):,} users that ingest kept; leave it out"
            )
        found.append(place[user_id])
    return np.unique(np.array(found, dtype=np.int64))


def read_ids(option: str, source: str) -> list[str]:
    """User ids of a text file, one per line, without empty lines. Raises BadInput if there are none."""
    try:
        folder, name = file_at(source)
        with folder.open_input(name) as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadInput(f"{option} {source}: not UTF-8 text; give a text file with one user id a line") from None
    except (BadInput, OSError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        raise BadInput(
            f"{option} {source}: cannot be read ({reason}); give a text file with one user id a line"
        ) from None
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise BadInput(f"{option} {source}: names no user; give one user id a line")
    return ids


def _attribute_values(
    ingested: Committed, attribute: str, where: str = ""
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users with the attribute and their values, one row per value; and the parts of all users."""
    where = where or f"--balance {attribute}"
    table = ingested.read_table("users.parquet", ["user_idx", "part", "attributes"]).combine_chunks()
    user_idx = table["user_idx"].to_numpy()
    part_U = np.empty(table.num_rows, dtype=object)
    part_U[user_idx] = table["part"].to_numpy(zero_copy_only=False)
    pairs = table["attributes"].combine_chunks()
    owner, flat = pc.list_parent_indices(pairs), pc.list_flatten(pairs)
    if isinstance(flat, pa.ChunkedArray):
        owner, flat = owner.combine_chunks(), flat.combine_chunks()
    names = pc.struct_field(flat, "name")
    inside = pc.equal(names, attribute).to_numpy(zero_copy_only=False).astype(bool)
    if not inside.any():
        known = {str(name) for name in pc.unique(names).to_pylist()}
        if not known:
            raise BadInput(f"{where}: the users have no attributes; read some with data.users and data.user_attributes")
        raise BadInput(f"{where}: users have no attribute {attribute}; {_nearest(attribute, known)}")
    value = pc.struct_field(flat, "value").to_numpy(zero_copy_only=False)
    return user_idx[owner.to_numpy()[inside]], value[inside], part_U


def _nearest(text: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(text, sorted(known), n=3, cutoff=0)
    return f"the nearest are {', '.join(near)}" if near else "there is none"
