"""Correlations of latents with attributes over all shards, for several codes in one pass.

A first pass reads only the items of the cases, since support decides which attributes are summed. The second adds up
sums in Ray tasks, which are folded in shard order. Formulas and shape suffixes are in attributes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse

from recsae.data.catalogue import Catalogue
from recsae.distributed import tasks
from recsae.sae import attributes, model
from recsae.sae.attributes import AttributeSums, BestCorrelations
from recsae.sae.controls import Principal, Trained, Untrained
from recsae.sae.model import Encoded, Sae
from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.run_store import Committed

Code = Trained | Untrained | Principal | None
"""An SAE, principal components, or None for the raw dimensions."""
Codes = Mapping[str, Code]
LoadedCode = Sae | Principal | None


def correlate(
    ingested: Committed, activations: Committed, view: str, codes: Codes, part: str
) -> dict[str, BestCorrelations]:
    """The best latent of each attribute under every code, over the cases of one part of users.

    All codes are compared on the same attributes and cases; cases without an item in the view are left out.
    """
    catalogue, names = Catalogue.read(ingested), activations.files(shards.PREFIX)
    held = activations, view, part, catalogue.n_items
    cases_I = np.zeros(catalogue.n_items, dtype=np.int64)
    for cases_of_shard_I in tasks.over(_count_items, held, names, "items of cases"):
        cases_I += cases_of_shard_I
    latents = {name: num_latents(code, activations) for name, code in codes.items()}
    selected = attributes.select_attributes(catalogue.attributes, cases_I, sum(latents.values()))
    totals = {name: attributes.zero_sums(number, len(selected.pairs)) for name, number in latents.items()}
    what = f"latents against {len(selected.pairs)} attributes"
    shared = activations, view, part, codes, selected.has_IA
    for found in tasks.over(_sum_shard, shared, names if selected.pairs else [], what):
        for name, total in totals.items():
            attributes.add(total, found[name])
    return {
        name: attributes.best_latents(totals[name], selected, both_signs=not is_sparse(code))
        for name, code in codes.items()
    }


def is_sparse(code: Code) -> bool:
    """Whether latents are either active or not. If they have a value in every case, both signs of r count."""
    return isinstance(code, Trained | Untrained)


def num_latents(code: Code, activations: Committed) -> int:
    """Number of latents, components or dimensions of a code, without loading its weights."""
    if isinstance(code, Principal):
        return len(code.axes_RD)
    return int(activations.metrics["width"] if code is None else code.folder.read_json(model.CONFIG)["num_latents"])


def load_code(code: Code) -> LoadedCode:
    """The code ready to run on the CPU."""
    return code if code is None or isinstance(code, Principal) else code.on("cpu").sae


def _count_items(held: tuple[Committed, str, str, int], name: str) -> np.ndarray:
    activations, view, part, n_items = held
    return np.bincount(case_items(shards.read(activations.data, name), view, part)[1], minlength=n_items)


def _sum_shard(held: tuple[Committed, str, str, Codes, sparse.csr_array], name: str) -> dict[str, AttributeSums]:
    activations, view, part, codes, has_IA = held
    table = shards.read(activations.data, name)
    rows_B, item_B = case_items(table, view, part)
    x_BD, has_BA = shards.vectors(table)[rows_B], has_IA[item_B]
    return {name: sum_code(load_code(code), x_BD, has_BA) for name, code in codes.items()}


def case_items(table: pa.Table, view: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the shard's rows of the part that have an item in the view, and their items."""
    item_B = shards.items(table, view)
    rows_B = np.flatnonzero((table["part"].to_numpy() == PARTS.index(part)) & (item_B >= 0))
    return rows_B, item_B[rows_B]


def sum_code(code: LoadedCode, x_BD: np.ndarray, has_BA: sparse.csr_array) -> AttributeSums:
    """Sums over the cases under one code."""
    sums = attributes.zero_sums(loaded_width(code, x_BD), has_BA.shape[1])
    for rows, found in encode_blocks(code, x_BD):
        if isinstance(found, Encoded):
            attributes.add_latents(sums, found.index_BK.numpy(), found.value_BK.numpy(), has_BA[rows])
        else:
            attributes.add_dimensions(sums, found, has_BA[rows])
    return sums


def loaded_width(code: LoadedCode, x_BD: np.ndarray) -> int:
    """Number of latents, components or dimensions of a loaded code for these activations."""
    if code is None:
        return int(x_BD.shape[1])
    return code.num_latents if isinstance(code, Sae) else len(code.axes_RD)


def encode_blocks(code: LoadedCode, x_BD: np.ndarray) -> Iterator[tuple[slice, Encoded | np.ndarray]]:
    """Yield rows of a block of cases, and their active latents or, if the code is not sparse, all values `(B, H)`."""
    # Without a sparsity penalty half of an SAE's latents may be active.
    at_once = max(1, model.MAX_FLOATS_PER_BLOCK // loaded_width(code, x_BD))
    for start in range(0, len(x_BD), at_once):
        rows = slice(start, start + at_once)
        if isinstance(code, Sae):
            with torch.inference_mode():
                encoded = code.encode(torch.from_numpy(x_BD[rows]))
            yield rows, encoded
        elif code is None:
            yield rows, x_BD[rows]
        else:
            away_BD = x_BD[rows].astype(np.float64) - code.mean_D.numpy()
            yield rows, away_BD @ code.axes_RD.numpy().T.astype(np.float64)
