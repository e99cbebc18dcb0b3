"""Latents against attributes over the shards: several codes in one pass, by Ray tasks whose sums are folded in order.

The shards are read once before that for the items of their cases alone, because support bounds what is summed. It knows
shards, the catalogue and SAEs; the formulas are in attributes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import torch
from scipy import sparse

from recsae.data.catalogue import Catalogue
from recsae.distributed import tasks
from recsae.sae import attributes, model
from recsae.sae.attributes import AttributeSums, Correlated
from recsae.sae.controls import Principal, Trained, Untrained
from recsae.sae.model import Encoded, Sae
from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.run_store import Committed

Code = Trained | Untrained | Principal | None
"""An SAE, principal directions, or None for the raw dimensions."""
Codes = Mapping[str, Code]
Loaded = Sae | Principal | None


def correlate(ingested: Committed, activations: Committed, view: str, codes: Codes, part: str) -> dict[str, Correlated]:
    """For every code its best latent for each attribute, over the cases of one part of users.

    All codes meet the same attributes of the same cases; cases whose item the view does not know are left out.
    """
    catalogue, names = Catalogue.read(ingested), activations.files(shards.PREFIX)

    def items_of(name: str) -> Any:
        return _items.remote(activations, name, view, part, catalogue.n_items)

    cases_I = np.zeros(catalogue.n_items, dtype=np.int64)
    for counted in tasks.in_order(items_of, names, "items of cases, shard"):
        cases_I += counted
    latents = {name: latents_of(code, activations) for name, code in codes.items()}
    chosen = attributes.choose(catalogue.attributes, cases_I, sum(latents.values()))
    borne = ray.put(chosen.bears_IA)

    def sums_of(name: str) -> Any:
        return _shard.remote(activations, name, view, part, codes, borne)

    totals = {name: attributes.nothing(number, len(chosen.pairs)) for name, number in latents.items()}
    what = f"latents against {len(chosen.pairs)} attributes, shard"
    for found in tasks.in_order(sums_of, names if chosen.pairs else [], what):
        for name, total in totals.items():
            attributes.add(total, found[name])
    return {name: attributes.best(totals[name], chosen, both_signs=not fires(code)) for name, code in codes.items()}


def fires(code: Code) -> bool:
    """Whether its latents are active or silent; where each has a value in every case, both signs of r count."""
    return isinstance(code, Trained | Untrained)


def latents_of(code: Code, activations: Committed) -> int:
    """How many latents, directions or dimensions it has."""
    if isinstance(code, Principal):
        return len(code.axes_RD)
    return int(activations.metrics["width"] if code is None else code.folder.read_json(model.FACTS)["num_latents"])


def load(code: Code) -> Loaded:
    """The code as it is run, on the CPU."""
    return code if code is None or isinstance(code, Principal) else code.on("cpu").sae


@ray.remote
def _items(activations: Committed, name: str, view: str, part: str, n_items: int) -> np.ndarray:
    return np.bincount(items_of_cases(shards.read(activations.data, name), view, part)[1], minlength=n_items)


@ray.remote
def _shard(
    activations: Committed, name: str, view: str, part: str, codes: Codes, bears_IA: sparse.csr_array
) -> dict[str, AttributeSums]:
    torch.set_num_threads(1)
    table = shards.read(activations.data, name)
    rows_B, item_B = items_of_cases(table, view, part)
    x_BD, bears_BA = shards.vectors(table)[rows_B], bears_IA[item_B]
    return {name: sums_of_code(load(code), x_BD, bears_BA) for name, code in codes.items()}


def items_of_cases(table: pa.Table, view: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a shard that belong to the part and have an item in the view, and their items."""
    item_B = pc.fill_null(table["top_idx" if view == "recommended" else "item_idx"], -1).to_numpy()
    rows_B = np.flatnonzero((table["part"].to_numpy() == PARTS.index(part)) & (item_B >= 0))
    return rows_B, item_B[rows_B]


def sums_of_code(code: Loaded, x_BD: np.ndarray, bears_BA: sparse.csr_array) -> AttributeSums:
    """The sums of the cases under one code."""
    sums = attributes.nothing(width_of(code, x_BD), bears_BA.shape[1])
    for rows, found in blocks_of_code(code, x_BD):
        if isinstance(found, Encoded):
            attributes.add_latents(sums, found.index_BK.numpy(), found.value_BK.numpy(), bears_BA[rows])
        else:
            attributes.add_dimensions(sums, found, bears_BA[rows])
    return sums


def width_of(code: Loaded, x_BD: np.ndarray) -> int:
    """How many latents, directions or dimensions the code has for these activations."""
    if code is None:
        return int(x_BD.shape[1])
    return code.num_latents if isinstance(code, Sae) else len(code.axes_RD)


def blocks_of_code(code: Loaded, x_BD: np.ndarray) -> Iterator[tuple[slice, Encoded | np.ndarray]]:
    """A bounded number of cases at a time: their active latents, or, of what has no such, all values `(B, H)`."""
    # An SAE that was not trained to be sparse may have half of its latents active.
    at_once = max(1, model.FLOATS_AT_ONCE // width_of(code, x_BD))
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
