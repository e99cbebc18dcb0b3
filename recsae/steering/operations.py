"""What can be done to latents in a probed vector. The SAE's error stays, so that no operation leaves the clean model.

    x' = x + scale Σ_h (z'_h − z_h) W_dec[h]

    ablate   z' = 0            scale   z' = f z            add   z' = z + α            set   z' = c
    project  x − ((x − mean) · Q) Qᵀ, Q an orthonormal basis of the decoder directions of all projected latents

Values are in the units of activations, as the dictionary has them; `z'` may fall below 0, which no activation does.
Shape suffixes: B vectors, D their width, S latents that are steered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from recsae.errors import BadInput
from recsae.sae.model import Encoded, Sae

Kind = Literal["ablate", "scale", "add", "set", "project"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WITHOUT_VALUE = ("ablate", "project")
MOST = 1e6
"""Beyond this, scores lose their digits and then become NaN."""


class Operation(NamedTuple):
    """What is done to one latent; `value` is f, α or c, and 0 where there is none."""

    latent: int
    kind: Kind
    value: float = 0.0

    @property
    def keep(self) -> float:
        """z' = keep z + plus, of all kinds but `project`."""
        return {"scale": self.value, "add": 1.0}.get(self.kind, 0.0)

    @property
    def plus(self) -> float:
        return self.value if self.kind in ("add", "set") else 0.0


class Steering:
    """Operations on one SAE, as an edit of raw activations `(B, D)`.

    Raises BadInput on a latent that the SAE does not have or that is named twice, and on a value that is not finite.
    """

    def __init__(self, sae: Sae, operations: Sequence[Operation]) -> None:
        check(operations, sae.num_latents)
        self.sae, self.operations = sae, tuple(operations)
        moved = [one for one in operations if one.kind != "project"]
        device = sae.W_dec.device
        self._latent_S = torch.tensor([one.latent for one in moved], dtype=torch.int64, device=device)
        self._keep_S = torch.tensor([one.keep for one in moved], device=device)
        self._plus_S = torch.tensor([one.plus for one in moved], device=device)
        away = [one.latent for one in operations if one.kind == "project"]
        self._basis_DS = torch.linalg.qr(sae.W_dec[away].T).Q if away else None

    @torch.no_grad()
    def __call__(self, x_BD: Tensor) -> Tensor:
        return x_BD + self.shift(x_BD)

    @torch.no_grad()
    def shift(self, x_BD: Tensor) -> Tensor:
        """`x' − x`; exactly 0 where nothing is done."""
        shift_BD = torch.zeros_like(x_BD)
        if len(self._latent_S):
            z_BS = dense(self.sae.encode(x_BD), self._latent_S, self.sae.num_latents)
            change_BS = (self._keep_S - 1) * z_BS + self._plus_S
            shift_BD += self.sae.scale * (change_BS @ self.sae.W_dec[self._latent_S])
        if self._basis_DS is not None:
            shift_BD -= (x_BD - self.sae.mean_D) @ self._basis_DS @ self._basis_DS.T
        return shift_BD


def typical_length(sae: Sae) -> float:
    """Of a centred activation, in the units of latents: every dimension has a mean square of 1."""
    return float(sae.width**0.5)


def dense(encoded: Encoded, latent_S: Tensor, num_latents: int) -> Tensor:
    """`z` `(B, S)` of some latents, 0 where one is not active."""
    place_H = torch.full((num_latents,), -1, dtype=torch.int64, device=latent_S.device)
    place_H[latent_S] = torch.arange(len(latent_S), device=latent_S.device)
    place_BK = place_H[encoded.index_BK.long()]
    wanted_BK = (place_BK >= 0) & (encoded.value_BK > 0)
    z_BS = encoded.value_BK.new_zeros(len(place_BK), len(latent_S))
    row_N = wanted_BK.nonzero()[:, 0]
    z_BS[row_N, place_BK[wanted_BK]] = encoded.value_BK[wanted_BK]
    return z_BS


def check(operations: Sequence[Operation], num_latents: int) -> None:
    """Raises BadInput in words that fit a policy, a command line and a call."""
    met: set[int] = set()
    for one in operations:
        if one.kind not in KINDS:
            raise BadInput(f"operation {one.kind} on latent {one.latent} is none; choose among {', '.join(KINDS)}")
        if not 0 <= one.latent < num_latents:
            raise BadInput(f"latent {one.latent} is none of the SAE's; give one from 0 to {num_latents - 1}")
        if one.latent in met:
            raise BadInput(f"latent {one.latent} is named by two operations; leave one of them out")
        if not math.isfinite(one.value):
            raise BadInput(f"the strength of latent {one.latent} is {one.value}; give a finite number")
        if abs(one.value) > MOST:
            raise BadInput(f"the strength of latent {one.latent} is {one.value:g}; give one of at most {MOST:,.0f}")
        met.add(one.latent)
