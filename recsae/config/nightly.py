"""The config's section on successive nights: what is reused from the last one, and the gate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recsae.config.base import Count, Section

Part = Annotated[float, Field(ge=0, le=1)]


class GateConfig(Section):
    """What a night must reach to be served. A figure that cannot be measured in a run is not checked."""

    interpretable_share: Part = 0.01
    """Least share of the latents that fire that are interpretable."""
    fvu: Annotated[float, Field(ge=0)] = 0.6
    """Largest FVU of the SAE."""
    dead_share: Part = 0.5
    """Largest share of dead latents."""
    ranking_loss: Part = 0.3
    """Largest share of NDCG@10 lost when the SAE's reconstruction replaces the vector."""
    ranking_fall: Part = 0.3
    """Largest share by which the recommender's test NDCG@10 fell since last night."""
    drift: Part = 0.5
    """Largest share of last night's interpretable latents that are gone."""


class NightsConfig(Section):
    """How tonight builds on the served night. Without this section every run starts afresh."""

    recommender: Literal["retrain", "warm-start"] = "warm-start"
    """Whether the recommender trains anew or from last night's weights, where kind and sizes are the same."""
    epochs: Count = 5
    """Most epochs of a warm-started recommender."""
    sae: Literal["retrain", "warm-start"] = "warm-start"
    """The same for the SAE, which is warm-started only if the embedding space is unchanged."""
    steps: Count = 500
    """Optimiser steps of a warm-started SAE."""
    match_threshold: Annotated[Part, Field(serialization_alias="match")] = 0.5
    """Least similarity of two latents of two nights that count as one; each must also be most similar to the other."""
    label_reuse_jaccard: Annotated[Part, Field(serialization_alias="unchanged")] = 0.5
    """Least Jaccard index of a latent's 20 strongest explain items and those that it was labelled by; below it the
    latent is labelled anew."""
    keep: Count = 7
    """Nights to keep; what only older ones need is deleted."""
    gate: GateConfig = GateConfig()
