"""The stage `matching`: matches tonight's latents with last night's, and carries stable ids over.

    similarity = r                     r: Pearson correlation of activations over explain cases of both nights
    similarity = (r + cos) / 2         if the embedding space is unchanged; cos: cosine of decoder directions

The matching is one to one and maximises the sum of similarities of at least `nights.match_threshold` (Hungarian
algorithm). An unmatched latent gets a new id. Cases are sampled by hash, independently of the shards. Shape suffixes: B
cases, H latents of tonight, L latents of last night, N matched pairs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from recsae.config.schema import Config
from recsae.distributed import tasks
from recsae.hashing import keyed
from recsae.sae import model
from recsae.sae.attributes import as_matrix
from recsae.sae.model import Sae
from recsae.schemas.base import PARTS
from recsae.schemas.nightly import MATCHES
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.lineage import same_probe, same_space
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)

CASES = 100_000
"""Approximate number of explain cases over which activations are compared."""
_SHORT = 8
"""Characters of the fingerprint in an id."""


class SampledCodes(NamedTuple):
    """Cases and the latents that fire in them."""

    case_B: np.ndarray
    code_BH: sparse.csr_array


class Matched(NamedTuple):
    """Matched pairs of latents of tonight and last night, and their similarity."""

    latent_N: np.ndarray
    last_N: np.ndarray
    similarity_N: np.ndarray
    cosine_N: np.ndarray | None
    correlation_N: np.ndarray


class _SampledShards(NamedTuple):
    activations: Committed
    sae: Folder
    share: float
    seed: int


def match_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `matches.parquet`: every latent of tonight's SAE, its stable id and its match."""
    sae = model.load(inputs["sae"].data.child("model"))
    ids = [f"{inputs['sae'].fingerprint[:_SHORT]}-{latent}" for latent in range(sae.num_latents)]
    rows: list[dict[str, object]] = [
        dict.fromkeys(MATCHES.names) | {"latent": latent, "stable_id": one} for latent, one in enumerate(ids)
    ]
    metrics: Metrics = {"latents": sae.num_latents, "matched": 0}
    if PREVIOUS + "sae" in inputs and same_probe(inputs, config.probe):
        before = model.load(inputs[PREVIOUS + "sae"].data.child("model"))
        shared = same_space(inputs)
        tonight = _codes(inputs["activations"], inputs["sae"], config.seed)
        last = _codes(inputs[PREVIOUS + "activations"], inputs[PREVIOUS + "sae"], config.seed)
        correlation_HL, cases = correlate(tonight, last)
        found = match(correlation_HL, cosines(sae, before) if shared else None, _threshold(config))
        last_ids = inputs[PREVIOUS + "matching"].read_table("matches.parquet", ["stable_id"])["stable_id"].to_pylist()
        for place, latent in enumerate(found.latent_N.tolist()):
            rows[latent] |= {
                "stable_id": last_ids[found.last_N[place]],
                "last_latent": int(found.last_N[place]),
                "similarity": float(found.similarity_N[place]),
                "cosine": None if found.cosine_N is None else float(found.cosine_N[place]),
                "correlation": float(found.correlation_N[place]),
            }
        median = float(np.median(found.similarity_N)) if len(found.latent_N) else None
        metrics |= {"matched": len(found.latent_N), "cases": cases, "same_space": shared, "similarity": median}
        log.info(
            "matching: %d of %d latents match last night's, by %d cases%s",
            *(len(found.latent_N), sae.num_latents, cases),
            " and decoder directions" if shared else "",
        )
    out.write_table("matches.parquet", pa.Table.from_pylist(rows, MATCHES), MATCHES)
    return metrics


def _threshold(config: Config) -> float:
    assert config.nights is not None  # inputs of last night are only passed with it
    return config.nights.match_threshold


def _codes(activations: Committed, trained: Committed, seed: int) -> SampledCodes:
    """Active latents of the sampled explain cases, sorted by case."""
    explain = max(activations.metrics["cases_by_part"]["explain"], 1)
    held = _SampledShards(activations, trained.data.child("model"), min(1.0, CASES / explain), seed)
    names = activations.files(shards.PREFIX)
    found = list(tasks.over(_codes_of_shard, held, names, "comparing latents"))
    case_B = np.concatenate([one.case_B for one in found])
    order = np.argsort(case_B, kind="stable")
    return SampledCodes(case_B[order], sparse.vstack([one.code_BH for one in found], format="csr")[order])


def _codes_of_shard(held: _SampledShards, name: str) -> SampledCodes:
    table = shards.read(held.activations.data, name)
    case_B = table["case_id"].to_numpy()
    drawn = keyed(case_B, held.seed)
    chosen = (table["part"].to_numpy() == PARTS.index("explain")) & (drawn / 2.0**64 < held.share)
    sae = model.load(held.sae)
    code = sae.encode(torch.tensor(shards.vectors(table)[chosen]))
    return SampledCodes(case_B[chosen], as_matrix(code.index_BK.numpy(), code.value_BK.numpy(), sae.num_latents))


def correlate(tonight: SampledCodes, last: SampledCodes) -> tuple[np.ndarray, int]:
    """Pearson correlations `(H, L)` over the cases of both nights, and their number; 0 for a constant latent."""
    cases, here_B, there_B = np.intersect1d(tonight.case_B, last.case_B, assume_unique=True, return_indices=True)
    a_BH, b_BL = tonight.code_BH[here_B], last.code_BH[there_B]
    n = max(len(cases), 1)
    mean_H, mean_L = a_BH.sum(0) / n, b_BL.sum(0) / n
    covariance_HL = (a_BH.T @ b_BL).toarray() / n - np.outer(mean_H, mean_L)
    spread_H = np.sqrt(np.maximum(a_BH.multiply(a_BH).sum(0) / n - mean_H**2, 0))
    spread_L = np.sqrt(np.maximum(b_BL.multiply(b_BL).sum(0) / n - mean_L**2, 0))
    both_HL = np.outer(spread_H, spread_L)
    return np.divide(covariance_HL, both_HL, out=np.zeros_like(covariance_HL), where=both_HL > 0), len(cases)


def cosines(tonight: Sae, last: Sae) -> np.ndarray:
    """Cosines of decoder directions `(H, L)`; decoder rows have unit norm."""
    return np.asarray(tonight.W_dec @ last.W_dec.T)


def match(correlation_HL: np.ndarray, cosine_HL: np.ndarray | None, least: float) -> Matched:
    """One-to-one pairs of similarity at least `least` that maximise the sum of similarities."""
    similarity_HL = correlation_HL if cosine_HL is None else (correlation_HL + cosine_HL) / 2
    latent_N, last_N = linear_sum_assignment(np.where(similarity_HL >= least, similarity_HL, 0), maximize=True)
    alike = similarity_HL[latent_N, last_N] >= least
    latent_N, last_N = latent_N[alike], last_N[alike]
    return Matched(
        latent_N,
        last_N,
        similarity_HL[latent_N, last_N],
        None if cosine_HL is None else cosine_HL[latent_N, last_N],
        correlation_HL[latent_N, last_N],
    )
