"""The config's section on the sparse autoencoder: its kind and size, how it is trained, and what a sweep varies."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from recsae.config.base import Count, Section, Share

Kind = Literal["topk", "batchtopk", "relu", "matryoshka"]
Rate = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

REFERENCE_RATE, REFERENCE_WIDTH, LARGEST_RATE = 8e-4, 2**14, 4e-3
NESTED = 5


class SweepConfig(Section):
    """Several SAEs trained in one pass over the shards: every combination of the non-empty lists."""

    kind: Annotated[tuple[Kind, ...], Field(strict=False)] = ()
    """Values of `sae.kind`."""
    num_latents: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    """Values of `sae.num_latents`."""
    k: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    """Values of `sae.k`, for kinds other than `relu`."""
    l1: Annotated[tuple[Rate, ...], Field(strict=False)] = ()
    """Values of `sae.l1`, for `relu` alone."""
    learning_rate: Annotated[tuple[Rate, ...], Field(strict=False)] = ()
    """Values of `sae.learning_rate`."""
    seed: Annotated[tuple[Seed, ...], Field(strict=False)] = ()
    """Seeds of the initial weights; left out: the run's seed, which always decides the order of activations."""
    pick: Literal["fvu", "ndcg", "correlation"] = "fvu"
    """Which SAE is chosen, on select users: the one with the lowest FVU, the highest NDCG@10 through the SAE, or the
    highest mean over attributes of the best correlation with a latent."""
    keep_ndcg: Share | None = None
    """Least share of NDCG@10 that the chosen SAE keeps; where none keeps it, the one that keeps most is chosen."""


class SaeConfig(Section):
    kind: Kind = "topk"
    """`topk`: k latents of every activation; `batchtopk`: k on average; `relu`: as many as the L1 penalty leaves;
    `matryoshka`: batchtopk whose first latents reconstruct on their own."""
    num_latents: Count = 1024
    """Width of the dictionary."""
    k: Count = 8
    """Latents active for one activation; for `batchtopk` and `matryoshka` on average."""
    l1: Rate = 0.1
    """`relu` only: weight of the L1 norm of the code against the squared error, both in scaled units."""
    prefixes: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    """`matryoshka` only: sizes of the prefixes of latents that reconstruct on their own, ascending, below
    `num_latents`; left out: a half, a quarter, an eighth and a sixteenth of it."""
    auxk: Annotated[int, Field(ge=0)] | None = None
    """Dead latents that reconstruct the residual (AuxK loss); left out: half the width of the activations; 0: none."""
    auxk_alpha: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the AuxK loss. The published 1/32 is long outweighed by Adam's moments from before a latent died."""
    dead_after: Count = 300_000
    """Activations without firing after which a latent counts as dead."""
    learning_rate: Rate | None = None
    """Adam's step, after a warm-up, decaying linearly over the last fifth; left out: by the number of latents, 8e-4
    at 2¹⁴ and falling with its square root (the law of sparsify, at four times its rate), at most 4e-3."""
    batch_size: Count = 4096
    """Activations in a global batch, over all workers."""
    steps: Count = 3000
    """Optimiser steps."""
    checkpoints: Count = 10
    """Checkpoints at which FVU is measured on select users; the best one is kept."""
    sweep: SweepConfig = SweepConfig()

    @property
    def rate(self) -> float:
        """The learning rate, given or by the number of latents."""
        by_width = REFERENCE_RATE / (self.num_latents / REFERENCE_WIDTH) ** 0.5
        return self.learning_rate or min(by_width, LARGEST_RATE)

    @property
    def nested(self) -> tuple[int, ...]:
        """Sizes of the prefixes of latents that reconstruct on their own, ending with all latents."""
        if self.kind != "matryoshka":
            return (self.num_latents,)
        halves = tuple(self.num_latents >> halvings for halvings in range(NESTED - 1, 0, -1))
        return (*(self.prefixes or (width for width in halves if width)), self.num_latents)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for one in candidates(self, 0):
            if one.config.kind != "relu" and one.config.k > one.config.num_latents:
                raise ValueError(
                    f"k = {one.config.k} is above num_latents = {one.config.num_latents}; choose a smaller k"
                )
        widths = self.sweep.num_latents or (self.num_latents,)
        ascending = all(low < high for low, high in itertools.pairwise((*self.prefixes, min(widths))))
        if self.prefixes and not ascending:
            raise ValueError(
                f"prefixes = {list(self.prefixes)} must ascend and stay below num_latents = {min(widths)}; mend them"
            )
        return self


class SweepMember(NamedTuple):
    """One SAE of a sweep: its config, without the sweep, and the seed of its initial weights."""

    config: SaeConfig
    seed: int


def candidates(config: SaeConfig, seed: int) -> tuple[SweepMember, ...]:
    """Every combination of the sweep, none twice; one without a sweep."""
    sweep = config.sweep
    axes = {
        "kind": sweep.kind,
        "num_latents": sweep.num_latents,
        "k": sweep.k,
        "l1": sweep.l1,
        "learning_rate": sweep.learning_rate,
    }
    plain = config.model_copy(update={"sweep": SweepConfig()})
    found: dict[SweepMember, None] = {}
    for values in itertools.product(*(axis or (getattr(config, name),) for name, axis in axes.items())):
        chosen = dict(zip(axes, values, strict=True))
        # A setting that a kind does not have must not make two members of it.
        chosen |= {"k": config.k} if chosen["kind"] == "relu" else {"l1": config.l1}
        for one in sweep.seed or (seed,):
            found[SweepMember(plain.model_copy(update=chosen), one)] = None
    return tuple(found)
