"""Activations of users: the recommender runs once per user, and every case gets the vector at its position.

A model that is right only at the last position runs once per case; for a model with one vector per user, each user has
one case.
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
"""Limit of runs x positions x width of a batch, which bounds memory, above all if `proceed` returns scores."""


class UserProber:
    """Ray Data actor that holds the recommender and writes the shards of one chunk of users per call."""

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
        searched = self._search_mask(cases["case_id"].to_numpy())
        for table in self._probe(chunk, cases, searched, self._to_check(number, searched)):
            writer.add(table)
        return {**writer.close(), "width": self.model.width, "checked": self.checked, "agreed": self.agreed}

    def _search_mask(self, case_id: np.ndarray) -> np.ndarray:
        """Which cases need the item ranked first, `(cases,)`: a sample of `probe.search_fraction`."""
        if self.config.search_fraction == 1:
            return np.ones(len(case_id), dtype=bool)
        return in_sample(case_id, self.config.search_fraction, self.seed)

    def _to_check(self, number: int, searched: np.ndarray) -> np.ndarray:
        """Which cases are also searched exactly, `(cases,)`: the chunk's share of RECALL_SAMPLE."""
        check = np.zeros(len(searched), dtype=bool)
        if self.index is not None:
            among = np.flatnonzero(searched)
            share = min(len(among), -(-RECALL_SAMPLE // n_chunks(self.ingested)))
            check[np.random.default_rng((self.seed, number)).choice(among, share, replace=False)] = True
        return check

    @torch.inference_mode()
    def _probe(self, chunk: Chunk, cases: pa.Table, searched: np.ndarray, check: np.ndarray) -> Iterator[pa.Table]:
        """Yields the cases of a few users at a time, with their vectors and, if searched, the item ranked first."""
        columns = {name: cases[name].to_numpy() for name in ("case_id", "user_idx", "position", "item_idx")}
        part = part_codes(cases["part"])
        of_user = np.searchsorted(chunk.users, columns["user_idx"])
        begin, end = chunk.offsets[of_user], chunk.offsets[of_user + 1]
        one_run = self.model.sequential and self.model.every_position
        if not one_run:
            end = begin + columns["position"]
        runs = columns["user_idx"] if one_run else columns["case_id"]
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
            asked = rows.start + np.flatnonzero(searched[rows])
            seen = [chunk.items[begin[case] : begin[case] + columns["position"][case]] for case in asked]
            top = np.full(rows.stop - rows.start, -1, dtype=np.int32)
            if len(asked):
                u_XU = self.model.proceed(h_BLD, histories)[at][torch.from_numpy(asked - rows.start).to(self.device)]
                top[asked - rows.start] = self._first(u_XU, seen, check[asked])
            table = pa.table(
                {
                    **{name: values[rows] for name, values in columns.items()},
                    "top_idx": pa.array(top, mask=~searched[rows]),
                    "part": part[rows],
                    "activation": shards.column(h_BLD[at].cpu().numpy()),
                }
            )
            # A user who has seen every item gets no recommendation, so there is nothing to interpret.
            yield table.filter(pc.fill_null(pc.greater_equal(table["top_idx"], 0), True))

    def _first(self, u_XU: torch.Tensor, seen: list[np.ndarray], check_X: np.ndarray) -> np.ndarray:
        """The item ranked first, -1 if all were seen; counts how often index and exact search agree."""
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
    """Users per batch, at least 1, such that the vectors fit FLOATS_PER_BATCH."""
    return max(1, min(USERS_PER_BATCH, FLOATS_PER_BATCH // (model.max_length * max(model.width, model.out_width))))


def one_case_per_user(chunk: Chunk, cases: pa.Table) -> pa.Table:
    """The first case of each user after all their training events, which are what their vector represents.

    There always is one, since the last case lies after the last event; users without training events are left out, as
    their vector is untrained.
    """
    training = np.add.reduceat(chunk.splits == SPLITS.index("train"), chunk.offsets[:-1], dtype=np.int64)
    users = cases["user_idx"].to_numpy()
    trained = training[np.searchsorted(chunk.users, users)]
    after = np.flatnonzero((cases["position"].to_numpy() >= trained) & (trained > 0))
    return cases.take(after[np.diff(users[after], prepend=-1) != 0])
