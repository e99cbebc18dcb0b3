"""Decides which latents reuse last night's labels, and returns those labels.

A latent reuses its labels if it was matched to one of last night's, its strongest explain items overlap enough with the
items it was labelled on, and prompts, model and settings are unchanged. The items are compared with those of the night
that named the latent, not with last night's; otherwise a concept could drift away from its name step by step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from recsae.concepts.best_candidate import chosen_labels, read_labels, read_scores
from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.labels import prompts
from recsae.llm.model import model_content
from recsae.store.run_store import PREVIOUS, Committed
from recsae.text.redaction import redact_tree

TOP_ITEMS = 20
"""Number of strongest explain items that identify a latent."""

Row = dict[str, Any]


class ReusedLabels(NamedTuple):
    """The labels taken over from last night, and the record of every labelled latent."""

    rows: list[Row]
    """Rows of LABELS for the latents that reuse theirs, under tonight's latent numbers."""
    labelled: list[Row]
    """Rows of LABELLED for all latents, reused or to be labelled."""

    @property
    def latents(self) -> set[int]:
        """The latents that reuse their labels."""
        return {row["latent"] for row in self.labelled if row["carried"]}


def reuse_labels(
    config: Config,
    inputs: Mapping[str, Committed],
    latents: Iterable[int],
    catalogue: Catalogue,
    vocabulary: Vocabulary,
) -> ReusedLabels:
    """Splits `latents` into those that reuse their labels and those to be labelled again."""
    stable_ids = inputs["matching"].read_table("matches.parquet", ["stable_id"])["stable_id"].to_pylist()
    strongest = strongest_items(inputs["evidence"], catalogue)
    last_night = _LastNight(inputs) if PREVIOUS + "labels" in inputs else None
    unchanged = last_night is not None and same_setup(last_night.labels, config)
    reused = ReusedLabels([], [])
    for latent in sorted(latents):
        stable_id, items = stable_ids[latent], strongest.get(latent, [])
        previous = last_night.labelled.get(stable_id) if last_night else None
        similarity = None if previous is None else jaccard(items, previous["items"])
        rows = last_night.rows(stable_id) if last_night and similarity is not None else []
        known = all(vocabulary.has(term) for row in rows for term in row["terms"])
        reuse = bool(unchanged and rows and known and similarity is not None and similarity >= _min_jaccard(config))
        reused.labelled.append(
            {
                "latent": latent,
                "stable_id": stable_id,
                "items": previous["items"] if reuse and previous else items,
                "jaccard": similarity,
                "carried": reuse,
            }
        )
        if reuse:
            reused.rows.extend({**row, "latent": latent} for row in rows)
    return reused


def same_setup(committed: Committed, config: Config) -> bool:
    """Whether last night's labels or scores used the same model, view and seed as tonight; for labels, also the same
    prompts and settings."""
    then = committed.manifest["config"]
    now = redact_tree(config.recorded(include=set(then)))
    compared = ("llm", "probe", "seed", "labels")
    return (
        all(then[name] == now[name] for name in compared if name in then)
        and committed.manifest["content"] == model_content(config)
        and committed.metrics.get("prompt_version", prompts.VERSION) == prompts.VERSION
    )


class _LastNight:
    """Last night's labels, by stable id."""

    def __init__(self, inputs: Mapping[str, Committed]) -> None:
        self.labels = inputs[PREVIOUS + "labels"]
        ids = inputs[PREVIOUS + "matching"].read_table("matches.parquet", ["latent", "stable_id"]).to_pylist()
        self._latents = {row["stable_id"]: row["latent"] for row in ids}
        self._labels = read_labels(self.labels)
        self._chosen = chosen_labels(self._labels, read_scores(inputs[PREVIOUS + "scores"]))
        self.labelled = {row["stable_id"]: row for row in self.labels.read_table("labelled.parquet").to_pylist()}

    def rows(self, stable_id: str) -> list[Row]:
        """The latent's candidates; if one was chosen, it is the only finalist."""
        latent = self._latents[stable_id]
        chosen = self._chosen.get(latent)
        return [
            {**row, "finalist": row["candidate"] == chosen["candidate"] if chosen else row["finalist"]}
            for row in self._labels.get(latent, {}).values()
        ]


def strongest_items(evidence: Committed, catalogue: Catalogue) -> dict[int, list[str]]:
    """For each latent, the sorted ids of the explain items with the highest total activation."""
    columns = ["latent", "item_idx", "rank_strength"]
    found: dict[int, list[str]] = {}
    for row in evidence.read_table("latent_items.parquet", columns).to_pylist():
        if row["rank_strength"] is not None and row["rank_strength"] < TOP_ITEMS:
            found.setdefault(row["latent"], []).append(catalogue.ids[row["item_idx"]])
    return {latent: sorted(items) for latent, items in found.items()}


def jaccard(one: Iterable[str], other: Iterable[str]) -> float:
    """The Jaccard similarity of two sets; 0 if both are empty."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def _min_jaccard(config: Config) -> float:
    assert config.nights is not None  # last night's outputs are only passed with `nights`
    return config.nights.label_reuse_jaccard
