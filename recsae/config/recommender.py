"""The config's sections on the recommender: how it is trained or loaded, how it is evaluated, where it is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from recsae.config.base import Count, Paths, Section


class ForeignConfig(Section):
    """A model trained elsewhere: any `torch.nn.Module`, read and edited by a hook on the submodule `probe.site`."""

    factory: str = ""
    """`module:attribute`, called with `arguments`; returns the module. Its package must be importable on all nodes;
    its code is not part of a fingerprint."""
    arguments: dict[str, Any] = Field(default={})
    """Keyword arguments of the factory."""
    weights: str = ""
    """The module's state dict, one `safetensors` file."""
    program: str = ""
    """Instead of factory and weights: a file that `torch.export.save` wrote, with a free batch size."""
    vocabulary: Annotated[str, Field(min_length=1)]
    """A table `item_id`, `token` (CSV, TSV, JSON Lines or Parquet): each item's number in the model's input and
    output."""
    inputs: dict[str, Literal["items", "mask", "positions", "lengths"]] = Field(default={"": "items"})
    """What each argument of `forward` is given, `""` being the first: `items` `(B, L)` tokens, `mask` `(B, L)` 1 where
    there is an item, `positions` `(B, L)` from 0 at the oldest item, `lengths` `(B,)`; all int64."""
    padding: Literal["right", "left"] = "right"
    """Which side of a short history is padded."""
    padding_token: Annotated[int, Field(ge=0)] = 0
    """The token that pads."""
    fixed_length: bool = False
    """Always pad to `recommender.max_length`."""
    case_by_case: bool = False
    """Run the model once per case instead of once per user: for a model whose state at an earlier position differs from
    its state at the end of the history up to there (positions counted from the end, attention to padding). Done anyway
    where a trial run returns the last position alone."""
    output: str = ""
    """Attribute or key of the result that holds the scores `(B, L, tokens)` or, for the last position, `(B, tokens)`;
    left out: the result, or its first tensor."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.factory) == bool(self.program):
            raise ValueError("name either factory and weights, or program")
        if self.factory and ":" not in self.factory:
            raise ValueError(f"factory = {self.factory} is not module:attribute; name one like shop.models:build")
        if self.program and self.weights:
            raise ValueError("a program has its weights inside; leave weights out")
        if self.factory and not self.weights:
            raise ValueError("factory needs weights, a safetensors file: by it a run knows which model it explains")
        if "items" not in self.inputs.values():
            raise ValueError('inputs gives the model no items; write one like inputs = { input_ids = "items" }')
        return self


class RecommenderConfig(Section):
    kind: Literal["bprmf", "lightgcn", "sasrec", "gpt", "timirec", "foreign", "given"] = "sasrec"
    """Which recommender to train and interpret; `foreign`: one trained elsewhere; `given`: none, its activations are in
    the files of `probe.activations`."""
    foreign: ForeignConfig | None = None
    """Where the `foreign` model is and how it is called."""
    width: Count = 64
    """d, the width of embeddings and of the probed vector."""
    max_length: Count = 100
    """Most events of a history that the model sees, the latest."""
    blocks: Count = 2
    """Transformer blocks (`sasrec`, `gpt`, `timirec`)."""
    heads: Count = 2
    """Attention heads; they divide the width."""
    hidden: Count | None = None
    """Width of the hidden layer of a block; left out: 4 d for `gpt`, d for the other transformers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of units dropped in training (transformers only)."""
    layers: Count = 2
    """Propagations through the graph (`lightgcn`)."""
    interests: Count = 4
    """Interests of a user (`timirec`)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the teacher that assigns the target to an interest (`timirec`)."""
    distillation: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the teacher's loss (`timirec`)."""
    loss: Literal["cross-entropy", "bce", "gbce", "bpr"] = "cross-entropy"
    """Formulas in recsae/recommenders/losses.py."""
    negatives: Annotated[int, Field(ge=0, lt=2**31)] = 512
    """Sampled negatives: shared by a batch for `cross-entropy` and `gbce`, per target for `bpr` and `bce` (1 is usual
    there); 0: the whole catalogue, with dense gradients."""
    sampling: Literal["uniform", "popularity"] = "uniform"
    """How negatives are drawn; cross-entropy corrects for it (log-Q)."""
    calibration: Annotated[float, Field(ge=0, le=1)] = 0.75
    """t of `gbce`."""
    batch_size: Count | None = None
    """Windows of events in a global batch, over all workers, or single events where a user has one vector; left out:
    128 windows or 4,096 events."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's step, after a warm-up of one epoch."""
    decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of `epochs`, the last ones, over which the step falls linearly to a tenth; early stopping by `patience` may
    come first."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay (AdamW); embedding rows decay only in the steps that touch them."""
    epochs: Count = 50
    """Most passes over the training events."""
    patience: Count = 5
    """Epochs without a better validation NDCG@10 after which training stops."""

    @property
    def sequential(self) -> bool:
        """Whether the model follows the history; the others have one vector a user."""
        return self.kind not in ("bprmf", "lightgcn")

    @property
    def batch(self) -> int:
        """Rows of a global batch."""
        return self.batch_size or (128 if self.sequential else 4096)

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        if (self.kind == "foreign") != (self.foreign is not None):
            raise ValueError('kind = "foreign" and the section [recommender.foreign] go together; give both or neither')
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} does not divide width = {self.width}; choose heads that do")
        return self


class RankingConfig(Section):
    """How recommendations are measured: full ranking over the catalogue, unseen items only."""

    users: Count | None = None
    """Users whose held-out events are ranked, drawn by the seed; left out: all users."""
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples of users for an interval."""
    sampled_negatives: Annotated[int, Field(ge=0)] = 0
    """Random items among which each target is also ranked; these easier figures are marked `sampled`. 0: none."""


class ProbeConfig(Section):
    site: Annotated[str, Field(min_length=1)] = "user"
    """`user`: the vector before the prediction layer; `block-i`: the output of transformer block i at every position;
    `item`: the item side; for a `foreign` model the dotted name of a submodule."""
    view: Literal["recommended", "input"] = "recommended"
    """What a concept describes: the item that the model ranks first (the default at `user`), or the item at the
    position (the default elsewhere)."""
    shard_mib: Count = 128
    """Size of an activation shard, in MiB."""
    search: Literal["exact", "approximate"] = "exact"
    """How the item ranked first is found; `approximate`: by an index, whose recall is measured."""
    search_fraction: Annotated[float, Field(gt=0, le=1, serialization_alias="searched")] = 1.0
    """Share of the cases, drawn by the seed, for which the item ranked first is searched. It stays unknown for the
    others, which are no evidence where concepts describe that item."""
    activations: Paths = ()
    """Parquet or Arrow files of `case_id` and `activation`, for `recommender.kind = "given"`."""
    cases: str = ""
    """Their table of cases: `case_id`, `user_id`, `item_id` and, where there is one, `top_item_id`."""

    @model_validator(mode="before")
    @classmethod
    def _view_of_the_site(cls, values: Any) -> Any:
        if isinstance(values, dict) and "view" not in values:
            return {**values, "view": "recommended" if values.get("site", "user") == "user" else "input"}
        return values

    @model_validator(mode="after")
    def _given_with_cases(self) -> Self:
        if bool(self.activations) != bool(self.cases):
            raise ValueError("activations and cases go together; name both or neither")
        return self
