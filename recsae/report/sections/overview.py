"""The facts of a run that the report shows, as labels and formatted values, from the metrics that the stages committed.

A missing or non-numeric metric shows as a dash; it never fails the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from recsae.config.recommender import RecommenderConfig
from recsae.config.schema import Config
from recsae.report.sections.classes import ClassFacts
from recsae.report.sections.confidence import RowCounts
from recsae.report.sections.cost import StageRuns, about_stages
from recsae.report.sections.sae import SaeFacts, about_sae
from recsae.report.sections.sweep import settings
from recsae.schemas.base import PARTS, SPLITS
from recsae.store.filesystem import split_query
from recsae.store.run_store import Committed
from recsae.text.formatting import DASH, Fact, count, decimal, interval, listed, look_up, number, share, text
from recsae.text.redaction import redact_uri

CUTOFFS = (5, 10, 20, 50)
JUDGES = {
    "pmi": "log-likelihood of the concept given the item, centred by concept",
    "yes_no": "log-odds of the answer yes",
}
VIEWS = {
    "recommended": "the item that the model ranks first for the user",
    "input": "the user’s input: the item at the position and the few before it",
}


@dataclass(frozen=True)
class RankingRow:
    """One ranking metric: on all users' test events, and on score users clean and with the SAE's reconstruction."""

    metric: str
    test: str
    clean: str
    through_sae: str
    kept: str


@dataclass(frozen=True)
class RunFacts:
    headline: tuple[Fact, ...]
    run: tuple[Fact, ...]
    stages: StageRuns
    ranking: tuple[RankingRow, ...]
    """Empty without a model to rank with."""
    sae: SaeFacts
    bar: float | None
    unit: str
    """What the parts split and intervals resample: users or items."""


def _first(*values: Any) -> Any:
    """The first value that is not None; some metrics are committed by either of two stages."""
    return next((value for value in values if value is not None), None)


def about_run(config: Config, inputs: Mapping[str, Committed], counts: RowCounts, classes: ClassFacts) -> RunFacts:
    """The facts of the run, with the counts of dictionary rows."""
    metrics = {name: found.metrics for name, found in inputs.items()}
    ranked = config.recommender.kind != "given"
    rankings = [(name, cutoff) for name in ("HR", "NDCG") for cutoff in CUTOFFS] if ranked else []
    unit = "items" if config.probe.site == "item" else "users"
    return RunFacts(
        headline=_headline(metrics, counts, classes),
        run=_run(config, metrics),
        stages=about_stages(config.report, inputs),
        ranking=tuple(_ranking(metrics, name, cutoff) for name, cutoff in rankings),
        sae=about_sae(config, metrics["sae"], unit),
        bar=number(look_up(metrics["concepts"], "interpretable_bar")),
        unit=unit,
    )


def _headline(metrics: Mapping[str, Any], counts: RowCounts, classes: ClassFacts) -> tuple[Fact, ...]:
    alive, latents = look_up(metrics["evidence"], "alive"), look_up(metrics["sae"], "num_latents")
    concepts, statements = metrics["concepts"], metrics.get("statements", {})
    shuffled, null = look_up(statements, "shuffled"), look_up(statements, "null")
    passing, null_passing = look_up(statements, "shuffled_accepted"), look_up(statements, "null_accepted")
    asked, judged, accepted = (look_up(concepts, key) for key in ("asked", "judged", "judge_accepted"))
    judge_auc = decimal(look_up(metrics["scores"], "judge_auc"))
    medians = classes.medians
    facts = [
        Fact("Alive latents", count(alive), f"of {count(latents)} in the SAE"),
        Fact(
            "Interpretable",
            f"{count(counts.interpretable)} of {count(counts.rows)}",
            classes.short or "the dictionary is empty",
        ),
        Fact(
            "Confidence, median",
            decimal(medians.confidence, 2),
            f"balanced accuracy on all score cases, of {count(medians.scored)} latents; best single term: "
            f"{decimal(medians.term, 2)}",
        ),
        Fact(
            "On unseen items, median",
            decimal(medians.unseen, 2),
            f"of the {count(medians.unseen_scored)} statements about one item that is no list",
        ),
        Fact(
            "F1, median",
            decimal(medians.f1, 2),
            f"of the statement; {decimal(medians.core_f1, 2)} of the narrow reading beside it",
        ),
        Fact(
            "Controls past the same bar",
            count(None if passing is None or null_passing is None else passing + null_passing),
            f"{count(passing)} of {count(shuffled)} before another latent, {count(null_passing)} of {count(null)} "
            "search nulls",
        ),
        *_effect_fact(statements),
        Fact(
            "Language model",
            f"{count(accepted)} of {count(judged)}",
            f"names accepted, of {count(asked)} latents asked about; its own AUC against the attributes: {judge_auc}",
        ),
    ]
    if counts.scored:
        facts.append(
            Fact(
                "Groups",
                count(counts.groups),
                f"of latents with the same heading, {count(counts.grouped)} in total; {count(counts.polysemantic)} "
                f"polysemantic of {count(asked)} asked about",
            )
        )
    return tuple(facts)


def _effect_fact(statements: Mapping[str, Any]) -> list[Fact]:
    """How often what a latent promotes is what its statement says; nothing where it was not measured."""
    described, agree, disagree = (look_up(statements, f"effects{which}") for which in ("", "_agree", "_disagree"))
    if not number(described):
        return []
    note = f"latents promote what their statement says; {count(disagree)} promote something else"
    return [Fact("Effect and statement agree", f"{count(agree)} of {count(described)}", note)]


def _file_name(path: str) -> str:
    """The file name without the query of the URI, which may hold a secret."""
    return PurePosixPath(split_query(redact_uri(path))[0]).name


def _run(config: Config, metrics: Mapping[str, Any]) -> tuple[Fact, ...]:
    ingest, recommender, labels, scores = (metrics[name] for name in ("ingest", "recommender", "labels", "scores"))
    files = [config.data.path] if config.data.path else list(config.data.interactions)
    splits = ", ".join(f"{count(look_up(ingest, 'events_by_split', split))} {split}" for split in SPLITS)
    parts = ", ".join(f"{count(look_up(ingest, 'users_by_part', part))} {part}" for part in PARTS)
    cases, width = look_up(metrics["activations"], "cases"), look_up(metrics["activations"], "width")
    candidates = f"{count(look_up(labels, 'candidates'))} candidate concepts"
    failed = count(_first(look_up(labels, "failed"), look_up(labels, "unparsed")))
    asked = f"{count(look_up(scores, 'prompts'))} prompts to the judge, {count(look_up(scores, 'failed'))} failed"
    judge = text(look_up(scores, "judge"))
    return (
        Fact("Data", ", ".join(map(_file_name, files)) or DASH, f"read as {config.data.format}"),
        Fact("Events", count(look_up(ingest, "events")), splits),
        Fact("Users", count(look_up(ingest, "users")), parts),
        Fact("Items", count(look_up(ingest, "items"))),
        Fact("Cases", count(look_up(ingest, "cases")), "positions of users with a history"),
        Fact("Recommender", config.recommender.kind, _recommender(config.recommender, recommender)),
        Fact("Activations", f"{count(cases)} of width {count(width)}", _activations(config, metrics["activations"])),
        _sae(metrics["sae"]),
        Fact("A concept describes", "the item itself" if config.probe.site == "item" else VIEWS[config.probe.view]),
        Fact("Language model", text(look_up(labels, "model") or config.llm.model), f"{candidates}, {failed} failed"),
        Fact("Prompts", f"version {text(look_up(labels, 'prompt_version'))}", asked),
        Fact("Judge", judge, JUDGES.get(judge, "")),
        Fact("Seed", str(config.seed)),
    )


def _recommender(config: RecommenderConfig, metrics: Mapping[str, Any]) -> str:
    """The recommender's size and training, if it was trained here."""
    if config.kind == "given":
        return "external; its activations were given"
    if config.kind == "foreign":
        return "trained externally"
    shape = f"width {config.width}"
    if config.kind in ("sasrec", "gpt", "timirec"):
        shape += f", {config.blocks} blocks, {config.heads} heads"
    if config.kind == "timirec":
        shape += f", {config.interests} interests"
    if config.kind == "lightgcn":
        shape += f", {config.layers} layers"
    return f"{shape}; best epoch {count(look_up(metrics, 'best_epoch'))} of {count(look_up(metrics, 'epochs'))}"


def _activations(config: Config, metrics: Mapping[str, Any]) -> str:
    if config.recommender.kind == "given":
        return "read from files"
    recall = look_up(metrics, "search_recall")
    found = "" if recall is None else f"; the index finds the item ranked first in {share(recall)} of cases"
    sites = {"user": "one per case, before the prediction layer", "item": "one per item, on the item side"}
    return sites.get(config.probe.site, f"read at {config.probe.site}") + found


def _sae(metrics: Mapping[str, Any]) -> Fact:
    words = settings(metrics)
    settings_text = ", ".join([text(look_up(metrics, "kind")), words["num_latents"], words["sparsity"]])
    others = len(listed(look_up(metrics, "sweep")))
    picked = f", picked from {others}" if others else ""
    return Fact("Sparse autoencoder", settings_text, f"{count(look_up(metrics, 'steps'))} steps{picked}")


def _ranking(metrics: Mapping[str, Any], name: str, cutoff: int) -> RankingRow:
    key = f"{name.lower()}@{cutoff}"
    clean = look_up(metrics["sae"], "fidelity", "rows", "clean", key)
    through = look_up(metrics["sae"], "fidelity", "rows", "sae", key)
    test = decimal(look_up(metrics["recommender"], "test", key), 4)
    ends = interval(look_up(metrics["recommender"], "test_intervals", key), 4)
    return RankingRow(
        f"{name}@{cutoff}", f"{test} {ends}".rstrip(), decimal(clean, 4), decimal(through, 4), share(through, clean)
    )
