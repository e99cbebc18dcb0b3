"""Neighbours and history on a concept page: the latents with the closest decoder directions, and the concept's name and
confidence night by night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch

from recsae.report.tables import read_optional
from recsae.sae import model
from recsae.store.run_store import Committed
from recsae.text.formatting import short

NEIGHBOURS = 6


class Neighbours:
    """The closest latents of the dictionary, by the cosine of their decoder directions."""

    def __init__(self, sae: Committed, alive: Sequence[int]) -> None:
        self._alive = torch.tensor(alive, dtype=torch.int64)
        self._unit_HD = torch.empty(0, 0)
        if not sae.files("model/"):
            return
        directions_HD = model.load(sae.data.child("model")).W_dec.detach()[self._alive]
        self._unit_HD = torch.nn.functional.normalize(directions_HD.float(), dim=1)

    def rows(self, latents: Sequence[int]) -> dict[str, Any]:
        """`{"neighbours": {latent: [other latent, cosine, …]}}`, closest first; `latents` must be alive."""
        found: dict[int, list[float]] = {}
        for latent in latents if len(self._unit_HD) > 1 else ():
            cosine_H = self._unit_HD @ self._unit_HD[self._alive == latent][0]
            cosine_H[self._alive == latent] = -2.0
            best = cosine_H.topk(min(NEIGHBOURS, len(cosine_H) - 1))
            pairs = zip(self._alive[best.indices].tolist(), best.values.tolist(), strict=True)
            found[latent] = [figure for other, cosine in pairs for figure in (other, short(cosine, 3))]
        return {"neighbours": found} if found else {}


def nights_of(inputs: Mapping[str, Committed], stable_ids: Mapping[int, str]) -> dict[str, Any]:
    """`{"nights": {latent: [[night, change, name, confidence, its interval, interpretable], …]}}`, oldest first.

    Empty without a history.
    """
    where = pc.field("stable_id").isin(pa.array(list(stable_ids.values())))
    columns = [
        *("stable_id", "night", "change", "name"),
        *("confidence", "confidence_lower", "confidence_upper", "interpretable"),
    ]
    table = read_optional(inputs, "concepts", "history.parquet", columns, where)
    if table is None:
        return {}
    latent_of = {stable_id: latent for latent, stable_id in stable_ids.items()}
    found: dict[int, list[list[Any]]] = {}
    for stable_id, *row in zip(*(column.to_pylist() for column in table.sort_by("night").columns), strict=True):
        found.setdefault(latent_of[stable_id], []).append([short(value) for value in row])
    return {"nights": found}
