"""A run as a notebook sees it: tables as DataFrames, questions as methods. Reads the store and writes nothing to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pyarrow as pa

from recsae.api.served_config import config_of
from recsae.config import loader
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup import items, users
from recsae.lookup.served import Served, served_by
from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.run_store import Committed, RunStore

# Methods import what computes, so that tables are read without torch and Ray.
if TYPE_CHECKING:
    from recsae.api.labelling import LatentLabel
    from recsae.policies.policy import Policy
    from recsae.steering.steered import SteeredRecommender


class UserProfile(NamedTuple):
    """One user of a run."""

    user: dict[str, object]
    """The row of the users table: `user_id`, `part`, `events`, `attributes`."""
    history: pd.DataFrame
    """All events, oldest first: `position`, `item_id`, `title`, `timestamp`, `split`."""
    cases: pd.DataFrame
    """The user's cases in the evidence of latents: `position`, `item_id`, `title` (the item there), `first_item_id`,
    `first_title` (the item that the model ranks first), `latent`, `name`, `interpretable`, `activation`, `level`,
    `part`, `role`."""


def open_run(root: str | Path, name: str, config: Config | str | Path | None = None) -> Run:
    """The night that run `name` in the store `root` serves.

    `config`, a Config or the path of its file, gives what no manifest holds: resources, the device, credentials. Raises
    BadInput where no night is served.
    """
    served = served_by(RunStore(str(root), name))
    if config is None:
        return Run(served, config_of(served, str(root), name))
    return Run(served, config if isinstance(config, Config) else loader.load(config))


class Run:
    """One served night of a run. Items are named by id, title, or a part of a title that no other has; users by id.

    Methods raise BadInput, a sentence with what is near, where a name fits nothing.
    """

    def __init__(self, served: Served, config: Config) -> None:
        self.served, self.config = served, config
        self._policies: dict[object, Policy] = {}

    def __repr__(self) -> str:
        return f"<recsae run {self.config.name}, night {self.night}>"

    @property
    def night(self) -> str:
        """When the night began, in UTC: its name in the store."""
        return str(self.served.record["night"])

    def committed(self, name: str) -> Committed | None:
        """What a stage committed that night: its tables, metrics and fingerprint."""
        return self.served.made.get(name)

    @cached_property
    def concepts(self) -> pd.DataFrame:
        """The dictionary: one row a latent that fires, in the columns of CONCEPTS."""
        table = self.served.table("concepts", "concepts.parquet")
        assert table is not None
        return table.to_pandas()  # type: ignore[no-any-return]

    def latents(self, item: str) -> pd.DataFrame:
        """The latents that fire at an item, the strongest first.

        `activations` counts the cases in which one fires, `strength` is the sum over them; `lift` and `rank_lift` are
        null where the item is not among those that stand for the latent.
        """
        columns = ["latent", "name", "interpretable", "activations", "strength", "lift", "rank_lift"]
        return pd.DataFrame(items.item(self.served, item).latents, columns=columns)

    def user(self, user_id: str) -> UserProfile:
        """A user's history, and their cases in the evidence."""
        found = users.user(self.served, user_id)
        history = pd.DataFrame(found.events, columns=["position", "item_id", "title", "timestamp", "split"])
        rows = [
            {
                "position": case["position"],
                **case["item"],
                "first_item_id": case["first"] and case["first"]["item_id"],
                "first_title": case["first"] and case["first"]["title"],
                **{column: case[column] for column in CASE_COLUMNS},
            }
            for case in found.evidence
        ]
        names = ["position", "item_id", "title", "first_item_id", "first_title", *CASE_COLUMNS]
        return UserProfile(found.user, history, pd.DataFrame(rows, columns=names))

    def explain(self, user: str, item: str | None = None, k: int = 10, concepts: int = 5) -> pd.DataFrame:
        """Why the user is recommended their first `k` items, or scores this item: one row an item, in the columns of
        EXPLANATIONS and `title`. `concepts` is how many latents are listed; `others` holds the sum over the rest."""
        from recsae.api.explaining import explain

        return explain(self, user, item, k, concepts)

    def recommend(
        self,
        users: Sequence[str] | None = None,
        k: int = 10,
        *,
        more: Mapping[str, float] | None = None,
        less: Mapping[str, float] | None = None,
        policy: Policy | str | Path | None = None,
    ) -> pd.DataFrame:
        """The first `k` items that each user (None: all) has not had: `user_id`, `rank`, `item_id`, `title`, `score`.

        `more={"Western": 2}` doubles the share of a concept in the first ten, `less={"Horror": 2}` halves it, by a
        policy made as `policy` makes it; or give a policy, or its file. Of a policy only its own users are steered.
        """
        from recsae.api.recommending import recommend

        if policy is not None and (more or less):
            raise BadInput("more and less make a policy, and policy gives one; leave one of them out")
        if more or less:
            policy = self.policy(more, less)
        return recommend(self, users, k, policy)

    def policy(self, more: Mapping[str, float] | None = None, less: Mapping[str, float] | None = None) -> Policy:
        """A steering policy for all users that multiplies shares of concepts by `more` and divides them by `less`.

        The search runs on held-out cases, by Ray tasks, within a loss of 10 % of NDCG@10; `found` holds what was
        measured on other users, and whether each share was reached. The same call gives the same policy again.
        """
        from recsae.api.recommending import make_policy

        key = tuple((more or {}).items()), tuple((less or {}).items())
        if key not in self._policies:
            self._policies[key] = make_policy(self, more or {}, less or {})
        return self._policies[key]

    def steered(self, policy: Policy | str | Path) -> SteeredRecommender:
        """The recommender under a policy, for every user you pass."""
        from recsae.api.recommending import steered

        return steered(self, policy)

    def label(self, latent: int) -> LatentLabel:
        """Candidates for the name of a latent and the chosen one: those of the run, or, of a latent that it did not
        label, made now from its evidence by its language model. Writes nothing to the store."""
        from recsae.api.labelling import label

        return label(self, latent)

    def activations(self, part: str | None = None, columns: Iterable[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The probed vectors, a shard's batch at a time, in the schema `activations(width)`; of one part of the users
        (`explain`, `select`, `score`) and some columns where they are given. `part` is stored as its place in PARTS."""
        if part is not None and part not in PARTS:
            raise BadInput(f"part = {part}: choose among {', '.join(PARTS)}")
        done = self.committed("activations")
        names = None if columns is None else list(columns)
        for name in [] if done is None else done.files(shards.PREFIX):
            assert done is not None
            yield from shards.batches(done.data, name, names, None if part is None else PARTS.index(part))


CASE_COLUMNS = ("latent", "name", "interpretable", "activation", "level", "part", "role")
