"""The stage `activations`: an actor pool runs the frozen recommender once over each user and writes shards.

One actor call reads one chunk of users and writes its shards under names that the chunk decides, so a retried call
writes the same files. It knows the recommender's contract and not which recommender it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import torch

from recsae import schemas
from recsae.config import Config, ProbeConfig
from recsae.data.chunks import Chunk, n_chunks, read_cases, read_chunk
from recsae.recommenders import saved
from recsae.recommenders.ranking import pad
from recsae.store import shards
from recsae.store.folder import Folder
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

USERS_AT_ONCE = 64
SCORES_AT_ONCE = 4_000_000
"""Scores held at once when the first item is sought: a bound on memory on any catalogue."""


class Prober:
    """Holds the recommender; writes the shards of one chunk of users."""

    def __init__(self, ingested: Committed, trained: Committed, out: Folder, config: ProbeConfig, device: str) -> None:
        if device == "cpu":
            torch.set_num_threads(1)
        self.ingested, self.out, self.config, self.device = ingested, out, config, device
        self.model = saved.load(trained, device)
        self.schema = schemas.activations(self.model.width)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["chunk"])
        cases = read_cases(self.ingested, number)
        limit = max(1, self.config.shard_mib * 2**20 // (4 * self.model.width + 32))
        pending: list[pa.Table] = []
        written = probed = 0
        for table in self._probe(read_chunk(self.ingested, number), cases):
            pending.append(table)
            probed += table.num_rows
            if sum(part.num_rows for part in pending) >= limit:
                self._write(number, written, pending)
                pending, written = [], written + 1
        if pending:
            self._write(number, written, pending)
            written += 1
        return {"chunk": number, "cases": probed, "shards": written, "width": self.model.width}

    def _write(self, number: int, order: int, tables: list[pa.Table]) -> None:
        name = f"{shards.PREFIX}chunk-{number:05d}-{order:03d}.arrow"
        shards.write(self.out, name, pa.concat_tables(tables), self.schema)

    @torch.inference_mode()
    def _probe(self, chunk: Chunk, cases: pa.Table) -> Iterator[pa.Table]:
        """The cases of a few users at a time, with their vector and the item ranked first."""
        columns = {name: cases[name].to_numpy() for name in ("case_id", "user_idx", "position", "item_idx")}
        part = np.array([schemas.PARTS.index(name) for name in cases["part"].to_pylist()], dtype=np.int8)
        for first in range(0, len(chunk.users), USERS_AT_ONCE):
            here = slice(first, min(first + USERS_AT_ONCE, len(chunk.users)))
            users = chunk.users[here]
            start, stop = np.searchsorted(columns["user_idx"], [users[0], users[-1] + 1])  # cases are sorted by user
            if start == stop:
                continue
            rows = slice(start, stop)
            bounds = list(zip(chunk.offsets[here], chunk.offsets[1:][here], strict=True))
            histories = pad(
                [chunk.items[start:stop][-self.model.max_length :] for start, stop in bounds],
                self.model.n_items,
                self.device,
                users,
            )
            h_BLD = self.model.probe(histories)
            user_row = np.searchsorted(users, columns["user_idx"][rows])
            events = np.array([stop - start for start, stop in bounds])[user_row]
            skipped = np.maximum(events - self.model.max_length, 0)
            place = columns["position"][rows] - 1 - skipped
            h_XD = h_BLD[torch.from_numpy(user_row).to(self.device), torch.from_numpy(place).to(self.device)]
            seen = [
                chunk.items[bounds[row][0] : bounds[row][0] + position]
                for row, position in zip(user_row, columns["position"][rows], strict=True)
            ]
            table = pa.table(
                {
                    **{name: values[rows] for name, values in columns.items()},
                    "top_idx": self._first_unseen(h_XD, seen),
                    "part": part[rows],
                    "activation": shards.column(h_XD.cpu().numpy()),
                }
            )
            # Nothing is recommended to somebody who has had everything, so there is nothing to interpret.
            yield table.filter(pc.greater_equal(table["top_idx"], 0))

    def _first_unseen(self, h_XD: torch.Tensor, seen: list[np.ndarray]) -> np.ndarray:
        """The item with the highest score that the user has not had yet; -1 where he has had them all."""
        at_once = max(1, SCORES_AT_ONCE // self.model.n_items)
        found = []
        for first in range(0, len(h_XD), at_once):
            scores = self.model.scores(h_XD[first : first + at_once])
            here = seen[first : first + at_once]
            row = torch.from_numpy(np.repeat(np.arange(len(here)), [len(items) for items in here]))
            scores[row.to(self.device), torch.from_numpy(np.concatenate(here)).long().to(self.device)] = float("-inf")
            best = scores.max(1)
            found.append(best.indices.masked_fill(best.values.isneginf(), -1).cpu().numpy())
        return np.asarray(np.concatenate(found), dtype=np.int32)


def write_activations(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Run the recommender over every case; write `shards/`."""
    ingested = inputs["ingest"]
    resources = config.resources
    start = time.monotonic()
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    dataset = ray.data.from_items([{"chunk": number} for number in range(n_chunks(ingested))])
    written = dataset.repartition(n_chunks(ingested)).map(
        Prober,  # type: ignore[arg-type]
        fn_constructor_args=(ingested, inputs["recommender"], out.data, config.probe, resources.device),
        compute=ray.data.ActorPoolStrategy(size=resources.probe_actors),
        num_cpus=1,
        num_gpus=1 if resources.device == "cuda" else 0,
    )
    cases = count = done = width = 0
    for row in written.iter_rows():
        cases, count, done, width = cases + row["cases"], count + row["shards"], done + 1, row["width"]
        log.info("activations: chunk %d/%d, %d cases", done, n_chunks(ingested), cases)
    seconds = time.monotonic() - start
    return {
        "cases": cases,
        "shards": count,
        "width": width,
        "site": config.probe.site,
        "cases_per_second": cases / seconds,
    }
