"""The config's section on nights that follow one another: what is taken over from the last one, and the gate.

It knows keys and values, and nothing of how a night is made.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recsae.config.base import Count, Section

Part = Annotated[float, Field(ge=0, le=1)]


class GateConfig(Section):
    """What a night must reach to be served. What cannot be measured in a run is not asked of it."""

    interpretable_share: Part = 0.01
    """Interpretable latents, of those scored: at least."""
    fvu: Annotated[float, Field(ge=0)] = 0.6
    """FVU of the SAE: at most."""
    dead_share: Part = 0.5
    """Dead latents: at most."""
    ranking_loss: Part = 0.3
    """Share of NDCG@10 lost where the SAE's reconstruction takes the vector's place: at most."""
    ranking_fall: Part = 0.3
    """Share by which the recommender's own test NDCG@10 fell since last night: at most."""
    drift: Part = 0.5
    """Share of last night's interpretable latents that are gone: at most."""


class NightsConfig(Section):
    """How tonight builds on the night that is served. Left out of a config, every run stands for itself."""

    recommender: Literal["retrain", "warm-start"] = "warm-start"
    """Whether it trains anew or goes on from last night's weights, where kind and sizes are the same."""
    epochs: Count = 5
    """At most so many passes of a recommender that goes on."""
    sae: Literal["retrain", "warm-start"] = "warm-start"
    """The same of the SAE, which goes on only where the recommender's vectors still mean what they did."""
    steps: Count = 500
    """Optimiser steps of an SAE that goes on."""
    match_threshold: Annotated[Part, Field(serialization_alias="match")] = 0.5
    """Least similarity of two latents of two nights that count as one; each must also be most similar to the other."""
    label_reuse_jaccard: Annotated[Part, Field(serialization_alias="unchanged")] = 0.5
    """Least Jaccard index of a latent's 20 strongest explain items and those that it was labelled by; below it the
    latent is labelled anew."""
    keep: Count = 7
    """Nights that are kept; what only older ones need is deleted."""
    gate: GateConfig = GateConfig()
