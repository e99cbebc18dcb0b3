"""The typed config: one TOML file is one run.

Every section is a frozen model, each field with its own doc line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from recsae.config.base import Count, Paths, Section, Share
from recsae.config.concepts import (
    EvidenceConfig,
    LabelsConfig,
    LlmConfig,
    ScoresConfig,
    StatisticsConfig,
    SteeringConfig,
)
from recsae.config.mlflow import MlflowConfig
from recsae.config.nightly import NightsConfig
from recsae.config.recommender import ProbeConfig, RankingConfig, RecommenderConfig
from recsae.config.report import ReportConfig
from recsae.config.sae import SaeConfig
from recsae.config.submit import SubmitConfig


class StoreConfig(Section):
    root: Annotated[str, Field(min_length=1)] = "runs"
    """Where runs are stored: a local folder or a URI that pyarrow reads (`s3://bucket/recsae`)."""


class ColumnNames(Section):
    """Names of columns in the user's files; empty: there is no such column."""

    user_id: str = "user_id"
    """The user of an event; also the key of `users`."""
    item_id: str = "item_id"
    """The item of an event; also the key of `items`."""
    timestamp: str = "timestamp"
    """Orders each user's events; `""`: the order of rows is used."""
    weight: str = ""
    """A rating or count; `""`: every event weighs 1."""
    title: str = "title"
    """The item's title; where it is missing, the item's id is shown."""
    tag: Annotated[str, Field(min_length=1, exclude_if=lambda name: name == "tag")] = "tag"
    """The tag in a row of `tags`."""
    tag_weight: Annotated[str, Field(exclude_if=lambda name: name == "weight")] = "weight"
    """How much a row of `tags` weighs, such as a count or a relevance; without such a column every row weighs 1."""


def _separators(held: Any) -> Any:
    """A list as a tuple. Raises PydanticCustomError on anything but a separator or several."""
    if isinstance(held, list) and held and all(isinstance(one, str) and one for one in held):
        return tuple(held)
    if not isinstance(held, str | tuple):
        raise PydanticCustomError("separators", 'write a separator, or several as in ["|", " > "]')
    return held


Separators = Annotated[str | tuple[str, ...], BeforeValidator(_separators)]


class DataConfig(Section):
    format: Literal["table", "movielens", "recbole"] = "table"
    """`table`: the files named below; `movielens`: a folder of `.dat` or `.csv`; `recbole`: `.inter` and `.item`."""
    path: str = ""
    """The folder of a `movielens` or `recbole` dataset."""
    interactions: Paths = ()
    """CSV, TSV or Parquet files (`.gz` too); with `split.kind = "given"` three: train, validation, test."""
    items: Paths = ()
    """CSV, TSV, JSON Lines or Parquet files, joined on the item's id."""
    tags: Annotated[Paths, Field(exclude_if=lambda paths: not paths)] = ()
    """CSV, TSV, JSON Lines or Parquet files, one tag of an item a row; they become the attribute `tags`. With a column
    `columns.user_id`, tags that are the list of one user are left out."""
    users: str = ""
    """An optional table of users; never shown to a language model."""
    columns: ColumnNames = ColumnNames()
    attributes: dict[str, Separators] = Field(default={})
    """Item columns to read as attributes, each with its separator, or several: `["|", " > "]` for paths; `""`: one
    value, or a list already."""
    user_attributes: dict[str, Separators] = Field(default={})
    """The same for columns of `users`."""
    list_separator: str = ""
    """Set where a line is one user and all their items, in order, with this between them."""
    min_user_events: Count = 5
    """Users with fewer events are dropped (repeated with `min_item_events` until nothing changes)."""
    min_item_events: Count = 5
    """Items with fewer events are dropped."""
    min_weight: float | None = None
    """Events with a smaller weight (rating) are dropped."""
    min_tag_weight: Annotated[float | None, Field(exclude_if=lambda weight: weight is None)] = None
    """Tags whose weights on an item sum to less are not the item's."""
    replay_fraction: Annotated[float, Field(gt=0, le=1, serialization_alias="oldest")] = 1.0
    """Share of each user's events, the oldest ones, that is read; below 1 replays an earlier night."""


class SplitConfig(Section):
    kind: Literal["leave-one-out", "time", "given"] = "leave-one-out"
    """`leave-one-out`: each user's last event is for testing, the one before for validation; `time`: by global time;
    `given`: by file."""
    validation: Share = 0.1
    """`time` only: share of events for validation."""
    test: Share = 0.1
    """`time` only: share of events, the latest ones, for testing."""

    @model_validator(mode="after")
    def _something_trains(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation + test = {self.validation + self.test:g} leaves nothing to train; lower one")
        return self


class CasesConfig(Section):
    max_per_user: Count = 100
    """Last positions of each user that become cases; at most `recommender.max_length`."""


class ResourcesConfig(Section):
    """Workers, devices and memory; never part of a fingerprint."""

    train_workers: Count = 1
    """Ray Train workers; 1, 2, 4 or 8."""
    min_train_workers: Count | None = None
    """Fewest workers with which training starts and goes on where the cluster has no room; left out: it waits for
    all."""
    probe_actors: Count = 2
    """Actors that run the recommender over cases."""
    llm_actors: Count = 2
    """vLLM engines; one a GPU, or one a core."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where models run."""
    ingest_memory_gb: Annotated[float, Field(gt=0, le=1e6)] = 4.0
    """Memory that ingest may use before it spills to disk; evidence may use an eighth of it."""
    endpoint_requests: Count = 16
    """Concurrent requests to `labels.endpoint`."""
    llm_memory_gb: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Key-value cache of one engine on the CPU."""
    lease_seconds: Annotated[float, Field(gt=0, le=86_400)] = 20.0
    """Lease timeout in seconds: without a heartbeat for so long, another driver may take a stage over."""
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    """Retries of a stage after a node or worker was lost, with waits that double."""

    @model_validator(mode="after")
    def _workers_divide_lanes(self) -> Self:
        if self.train_workers not in (1, 2, 4, 8):
            raise ValueError(f"train_workers = {self.train_workers} must be 1, 2, 4 or 8")
        if self.min_train_workers and self.min_train_workers > self.train_workers:
            raise ValueError(
                f"min_train_workers = {self.min_train_workers} is above train_workers = {self.train_workers}; lower it"
            )
        return self


class Config(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """The run's name, the same for all its nights, and the name of its folder."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of every random draw."""
    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    cases: CasesConfig = CasesConfig()
    recommender: RecommenderConfig = RecommenderConfig()
    ranking: RankingConfig = RankingConfig()
    probe: ProbeConfig = ProbeConfig()
    sae: SaeConfig = SaeConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    statistics: StatisticsConfig = StatisticsConfig()
    llm: LlmConfig = LlmConfig()
    labels: LabelsConfig = LabelsConfig()
    scores: ScoresConfig = ScoresConfig()
    steering: SteeringConfig = SteeringConfig()
    report: ReportConfig = ReportConfig()
    nights: NightsConfig | None = None
    """How tonight builds on last night; left out: every run starts afresh."""
    resources: ResourcesConfig = ResourcesConfig()
    mlflow: MlflowConfig | None = None
    """Where a finished night is logged; left out: nowhere."""
    submit: SubmitConfig = SubmitConfig()

    @model_validator(mode="after")
    def _cases_fit_the_model(self) -> Self:
        if self.cases.max_per_user > self.recommender.max_length:
            raise ValueError(
                f"cases.max_per_user = {self.cases.max_per_user} is above recommender.max_length = "
                f"{self.recommender.max_length}; the model runs once per user, so lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _the_site_exists(self) -> Self:
        kind, site, model = self.recommender.kind, self.probe.site, self.recommender
        if (kind == "given") != bool(self.probe.activations):
            raise ValueError(
                'recommender.kind = "given" and probe.activations go together; give both or neither, with probe.cases'
            )
        blocks = [f"block-{number}" for number in range(model.blocks)] if kind in ("sasrec", "gpt") else []
        if kind not in ("foreign", "given") and site not in ("user", "item", *blocks):
            raise ValueError(
                f"probe.site = {site} is no site of {kind}; choose among {', '.join(['user', 'item', *blocks])}"
            )
        if kind == "foreign" and site in ("user", "item"):
            raise ValueError(f"probe.site = {site}: of a foreign model, give the dotted name of a submodule")
        if site == "item" and self.probe.view == "recommended":
            raise ValueError('probe.view = recommended: at the site "item" a concept speaks of the item; use input')
        return self

    @model_validator(mode="after")
    def _evidence_is_enough(self) -> Self:
        active = self.evidence.top + 10 * self.evidence.level
        inactive = self.evidence.random + self.evidence.popularity
        for key, cases in (
            ("scores.select_cases", self.scores.select_cases),
            ("scores.score_cases", self.scores.score_cases),
        ):
            if cases > min(active, inactive):
                raise ValueError(
                    f"{key} = {cases} is more than evidence keeps ({active} activating and {inactive} non-activating "
                    "cases); lower it or raise evidence.top, level, random and popularity"
                )
        if self.labels.finalists_per_ranking > self.labels.candidates:
            raise ValueError(
                f"labels.finalists_per_ranking = {self.labels.finalists_per_ranking} is above labels.candidates = "
                f"{self.labels.candidates}; lower it"
            )
        return self
