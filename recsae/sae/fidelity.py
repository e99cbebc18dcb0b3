"""What an SAE keeps: FVU, L0, dead latents, and the recommender's figures with the reconstruction in place.

Measured on score users, by Ray tasks over shards and chunks whose sums are folded in order. It knows the SAE, the
recommender's contract and its ranking.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import ray
import torch

from recsae.data.chunks import n_chunks, read_cases, read_chunk
from recsae.errors import BadInput
from recsae.recommenders import saved
from recsae.recommenders.figures import figures
from recsae.recommenders.ranking import Compared, compare_chunk, of_split
from recsae.sae import model as sae_model
from recsae.sae.training import of_part
from recsae.store import shards
from recsae.store.folder import Folder
from recsae.store.runs import Committed


class Moments(NamedTuple):
    """Exact first and second moments of a stream: count, sum `(D,)`, sum of squares over all dimensions."""

    rows: int
    total: np.ndarray
    square: float


class Sums(NamedTuple):
    """What one shard adds: score cases, squared error, moments, active latents; and who fired on explain users."""

    error: float
    moments: Moments
    active: int
    fired: np.ndarray


@ray.remote
def _shard_moments(activations: Committed, name: str, part: str) -> Moments:
    return _moments(of_part(shards.read(activations.data, name), part))


def _moments(x_BD: np.ndarray) -> Moments:
    exact = x_BD.astype(np.float64)
    return Moments(len(exact), exact.sum(0), float(np.square(exact).sum()))


@ray.remote
def _shard_sums(activations: Committed, name: str, folder: Folder) -> Sums:
    torch.set_num_threads(1)
    sae = sae_model.load(folder)
    table = shards.read(activations.data, name)
    x_BD = of_part(table, "score")
    with torch.inference_mode():
        rows = torch.from_numpy(x_BD)
        encoded = sae.encode(rows)
        error = float((sae.decode(encoded.index_BK, encoded.value_BK) - rows).double().square().sum())
        explain = sae.encode(torch.from_numpy(of_part(table, "explain")))
        fired = np.zeros(sae.num_latents, dtype=bool)
        fired[explain.index_BK[explain.value_BK > 0].numpy()] = True
    return Sums(error, _moments(x_BD), int((encoded.value_BK > 0).sum()), fired)


@ray.remote
def _chunk_ranks(ingested: Committed, recommender: Committed, site: str, folder: Folder, number: int) -> Compared:
    torch.set_num_threads(1)
    cases = of_split(read_cases(ingested, number), "test", "score")
    sae = sae_model.load(folder)
    return compare_chunk(saved.load(recommender, site), sae.reconstruct, read_chunk(ingested, number), cases)


def moments(activations: Committed, part: str) -> tuple[np.ndarray, float]:
    """Mean `(D,)` and scale (root mean square per dimension after centring) of one part's activations.

    Raises BadInput where the part has none: training would wait for a batch for ever.
    """
    found = [_shard_moments.remote(activations, name, part) for name in activations.files(shards.PREFIX)]
    return _mean_and_scale(_fold(ray.get(found)), part)


def _mean_and_scale(total: Moments, part: str) -> tuple[np.ndarray, float]:
    if not total.rows:
        raise BadInput(f"no user of the interactions fell to the part {part}; give more users or another seed")
    mean = total.total / total.rows
    return mean, float(np.sqrt(max(_variance(total), 1e-12) / (total.rows * len(mean))))


def _fold(parts: list[Moments]) -> Moments:
    return Moments(sum(p.rows for p in parts), np.sum([p.total for p in parts], axis=0), sum(p.square for p in parts))


def _variance(total: Moments) -> float:
    """Σ‖x − mean(x)‖²."""
    return total.square - float(np.square(total.total).sum()) / max(total.rows, 1)


def measure(ingested: Committed, recommender: Committed, activations: Committed, folder: Folder) -> dict[str, Any]:
    """FVU = Σ‖x̂−x‖² / Σ‖x−mean(x)‖² and L0 on score users, the dead share on explain users, ranking on score users.

    `fidelity`, the ranking, is None where the activations were given: there is no model to rank with.
    """
    parts: list[Sums] = ray.get(
        [_shard_sums.remote(activations, name, folder) for name in activations.files(shards.PREFIX)]
    )
    total = _fold([part.moments for part in parts])
    fired = np.any([part.fired for part in parts], axis=0)
    return {
        "fvu": sum(part.error for part in parts) / max(_variance(total), 1e-12),
        "l0": sum(part.active for part in parts) / max(total.rows, 1),
        "dead_share": float(1 - fired.mean()),
        "alive": int(fired.sum()),
        "fidelity": _ranking(ingested, recommender, activations.metrics["site"], folder),
    }


def _ranking(ingested: Committed, recommender: Committed, site: str, folder: Folder) -> dict[str, Any] | None:
    if recommender.metrics["kind"] == "given":
        return None
    ranks: list[Compared] = ray.get(
        [_chunk_ranks.remote(ingested, recommender, site, folder, number) for number in range(n_chunks(ingested))]
    )
    clean = np.sum([rank.clean for rank in ranks], axis=0)
    edited = np.sum([rank.edited for rank in ranks], axis=0)
    return {
        "cases": int(clean.sum()),
        "clean": figures(clean),
        "through_sae": figures(edited),
        "top10_overlap": sum(rank.shared_top10 for rank in ranks) / max(sum(rank.top10 for rank in ranks), 1),
    }
