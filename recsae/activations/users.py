"""The user side: the recommender runs once over each user of a chunk, and every case gets the vector at its place.

A model whose run answers for the last position alone is asked case by case; of a model that has one vector a user,
whatever the position, a user has one case. It knows the recommender's contract,
cases and histories, and neither which recommender it is nor Ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from recsae.activations.search import RECALL_SAMPLE, Index
from recsae.activations.shard_writer import ShardWriter, part_codes
from recsae.config.recommender import ProbeConfig
from recsae.data.chunks import Chunk, n_chunks, read_cases, read_chunk
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender
from recsae.recommenders.evaluation import in_sample
from recsae.recommenders.ranking import pad
from recsae.recommenders.topk import first_unseen
from recsae.schemas.base import SPLITS
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

USERS_PER_BATCH = 64
FLOATS_PER_BATCH = 16_000_000
"""Of the vectors of a batch, runs x positions x width: a bound on memory, above all where `proceed` gives scores."""


class UserProber:
    """Holds the recommender; writes the shards of one chunk of users."""

    def __init__(
        self, ingested: Committed, trained: Committed, out: Folder, config: ProbeConfig, device: str, seed: int
    ) -> None:
        if device == "cpu":
            torch.set_num_threads(1)
        self.ingested, self.out, self.config, self.device, self.seed = ingested, out, config, device, seed
        self.model = registry.load(trained, config.site, device)
        self.index = Index(self.model, seed) if config.search == "approximate" else None
        self.checked = self.agreed = 0

    def __call__(self, row: dict[str, Any]) -> dict[str, int]:
        number = int(row["chunk"])
        chunk, cases = read_chunk(self.ingested, number), read_cases(self.ingested, number)
        if not self.model.sequential:
            cases = one_case_per_user(chunk, cases)
        self.checked = self.agreed = 0
        writer = ShardWriter(self.out, f"chunk-{number:05d}", self.model.width, self.config)
        sought = self._sought(cases["case_id"].to_numpy())
        for table in self._probe(chunk, cases, sought, self._to_check(number, sought)):
            writer.add(table)
        return {**writer.close(), "width": self.model.width, "checked": self.checked, "agreed": self.agreed}

    def _sought(self, case_id: np.ndarray) -> np.ndarray:
        """Of which cases the item ranked first is sought, `(cases,)`."""
        if self.config.search_fraction == 1:
            return np.ones(len(case_id), dtype=bool)
        return in_sample(case_id, self.config.search_fraction, self.seed)

    def _to_check(self, number: int, sought: np.ndarray) -> np.ndarray:
        """Which cases are searched exactly as well, `(cases,)`: the chunk's share of the sample."""
        check = np.zeros(len(sought), dtype=bool)
        if self.index is not None:
            among = np.flatnonzero(sought)
            share = min(len(among), -(-RECALL_SAMPLE // n_chunks(self.ingested)))
            check[np.random.default_rng((self.seed, number)).choice(among, share, replace=False)] = True
        return check

    @torch.inference_mode()
    def _probe(self, chunk: Chunk, cases: pa.Table, sought: np.ndarray, check: np.ndarray) -> Iterator[pa.Table]:
        """The cases of a few users at a time, with their vector and, where it is sought, the item ranked first."""
        columns = {name: cases[name].to_numpy() for name in ("case_id", "user_idx", "position", "item_idx")}
        part = part_codes(cases["part"])
        of_user = np.searchsorted(chunk.users, columns["user_idx"])
        begin, end = chunk.offsets[of_user], chunk.offsets[of_user + 1]
        together = self.model.sequential and self.model.every_position
        if not together:
            end = begin + columns["position"]
        runs = columns["user_idx"] if together else columns["case_id"]
        firsts = np.flatnonzero(np.diff(runs, prepend=-1))  # cases are sorted by user
        for first in range(0, len(firsts), users_per_batch(self.model)):
            begun = firsts[first : first + users_per_batch(self.model)]
            after = first + len(begun)
            rows = slice(begun[0], firsts[after] if after < len(firsts) else len(runs))
            recent = [chunk.items[begin[run] : end[run]][-self.model.max_length :] for run in begun]
            histories = pad(recent, self.device, columns["user_idx"][begun])
            h_BLD = self.model.probe(histories)
            position = columns["position"][rows]
            skipped = np.maximum(end[rows] - begin[rows] - self.model.max_length, 0)
            run_row = np.searchsorted(begun, np.arange(rows.start, rows.stop), side="right") - 1
            at = tuple(torch.from_numpy(index).to(self.device) for index in (run_row, position - 1 - skipped))
            asked = rows.start + np.flatnonzero(sought[rows])
            seen = [chunk.items[begin[case] : begin[case] + columns["position"][case]] for case in asked]
            top = np.full(rows.stop - rows.start, -1, dtype=np.int32)
            if len(asked):
                u_XU = self.model.proceed(h_BLD, histories)[at][torch.from_numpy(asked - rows.start).to(self.device)]
                top[asked - rows.start] = self._first(u_XU, seen, check[asked])
            table = pa.table(
                {
                    **{name: values[rows] for name, values in columns.items()},
                    "top_idx": pa.array(top, mask=~sought[rows]),
                    "part": part[rows],
                    "activation": shards.column(h_BLD[at].cpu().numpy()),
                }
            )
            # Nothing is recommended to somebody who has had everything, so there is nothing to interpret.
            yield table.filter(pc.fill_null(pc.greater_equal(table["top_idx"], 0), True))

    def _first(self, u_XU: torch.Tensor, seen: list[np.ndarray], check_X: np.ndarray) -> np.ndarray:
        """The item ranked first, -1 where all have been seen; of an index, the checked cases are counted."""
        if self.index is None:
            return first_unseen(self.model, u_XU, seen)
        found = self.index.first_unseen(u_XU, seen)
        if check_X.any():
            picked = np.flatnonzero(check_X)
            exact = first_unseen(self.model, u_XU[torch.from_numpy(picked).to(u_XU.device)], [seen[i] for i in picked])
            self.checked += len(picked)
            self.agreed += int((exact == found[picked]).sum())
        return found


def users_per_batch(model: Recommender) -> int:
    """Users of a batch; of one user alone the vectors must fit."""
    return max(1, min(USERS_PER_BATCH, FLOATS_PER_BATCH // (model.max_length * max(model.width, model.out_width))))


def one_case_per_user(chunk: Chunk, cases: pa.Table) -> pa.Table:
    """Of each user the first case after all of his training events, which is what his vector has seen.

    There always is one, since his last case lies after his last event; but users without training events, whose vector
    has seen nothing, have none.
    """
    training = np.add.reduceat(chunk.splits == SPLITS.index("train"), chunk.offsets[:-1], dtype=np.int64)
    users = cases["user_idx"].to_numpy()
    trained = training[np.searchsorted(chunk.users, users)]
    after = np.flatnonzero((cases["position"].to_numpy() >= trained) & (trained > 0))
    return cases.take(after[np.diff(users[after], prepend=-1) != 0])
