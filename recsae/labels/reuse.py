"""Which latents keep last night's labels, and the labels that they keep.

A latent keeps them where it is one of last night's, its strongest explain items are still much those that it was
labelled by, and prompts, model and settings are the same. Compared is with the items of the night that named it, not
with last night's: otherwise a concept could creep away from its name. It knows tables, and no language model.
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

ITEMS = 20
"""Strongest explain items by which a latent is told."""

Row = dict[str, Any]


class Carried(NamedTuple):
    """What of last night goes on."""

    rows: list[Row]
    """Of LABELS, for the latents that keep theirs, by tonight's numbers."""
    labelled: list[Row]
    """Of LABELLED, for every latent that is labelled tonight."""

    @property
    def latents(self) -> set[int]:
        """Those that keep their labels."""
        return {row["latent"] for row in self.labelled if row["carried"]}


def carry(
    config: Config,
    inputs: Mapping[str, Committed],
    latents: Iterable[int],
    catalogue: Catalogue,
    vocabulary: Vocabulary,
) -> Carried:
    """Sort `latents` into those that keep their labels and those that are labelled anew."""
    stable_ids = inputs["matching"].read_table("matches.parquet", ["stable_id"])["stable_id"].to_pylist()
    strongest = strongest_items(inputs["evidence"], catalogue)
    before = _Before(inputs) if PREVIOUS + "labels" in inputs else None
    same = before is not None and asked_alike(before.labels, config)
    found = Carried([], [])
    for latent in sorted(latents):
        stable_id, items = stable_ids[latent], strongest.get(latent, [])
        last = before.labelled.get(stable_id) if before else None
        alike = None if last is None else jaccard(items, last["items"])
        rows = before.rows(stable_id) if before and alike is not None else []
        known = all(vocabulary.has(term) for row in rows for term in row["terms"])
        keeps = bool(same and rows and known and alike is not None and alike >= _unchanged(config))
        found.labelled.append(
            {
                "latent": latent,
                "stable_id": stable_id,
                "items": last["items"] if keeps and last else items,
                "jaccard": alike,
                "carried": keeps,
            }
        )
        if keeps:
            found.rows.extend({**row, "latent": latent} for row in rows)
    return found


def asked_alike(before: Committed, config: Config) -> bool:
    """Whether last night's labels or scores come from the model, the view and the seed of tonight, and, where they are
    labels, from the same prompts and settings."""
    asked = before.manifest["config"]
    wanted = redact_tree(config.model_dump(mode="json", include=set(asked)))
    alike = ("llm", "probe", "seed", "labels")
    return (
        all(asked[name] == wanted[name] for name in alike if name in asked)
        and before.manifest["content"] == model_content(config)
        and before.metrics.get("prompt_version", prompts.VERSION) == prompts.VERSION
    )


class _Before:
    """Last night's labels by stable id."""

    def __init__(self, inputs: Mapping[str, Committed]) -> None:
        self.labels = inputs[PREVIOUS + "labels"]
        ids = inputs[PREVIOUS + "matching"].read_table("matches.parquet", ["latent", "stable_id"]).to_pylist()
        self._latent = {row["stable_id"]: row["latent"] for row in ids}
        self._labels = read_labels(self.labels)
        self._chosen = chosen_labels(self._labels, read_scores(inputs[PREVIOUS + "scores"]))
        self.labelled = {row["stable_id"]: row for row in self.labels.read_table("labelled.parquet").to_pylist()}

    def rows(self, stable_id: str) -> list[Row]:
        """The latent's candidates; where one was chosen, it alone stands for election again."""
        latent = self._latent[stable_id]
        chosen = self._chosen.get(latent)
        return [
            {**row, "finalist": row["candidate"] == chosen["candidate"] if chosen else row["finalist"]}
            for row in self._labels.get(latent, {}).values()
        ]


def strongest_items(evidence: Committed, catalogue: Catalogue) -> dict[int, list[str]]:
    """Of every latent the ids of the explain items in which it fires most strongly in all."""
    columns = ["latent", "item_idx", "rank_strength"]
    found: dict[int, list[str]] = {}
    for row in evidence.read_table("latent_items.parquet", columns).to_pylist():
        if row["rank_strength"] is not None and row["rank_strength"] < ITEMS:
            found.setdefault(row["latent"], []).append(catalogue.ids[row["item_idx"]])
    return {latent: sorted(items) for latent, items in found.items()}


def jaccard(one: Iterable[str], other: Iterable[str]) -> float:
    """Of two sets; 0 of two empty ones."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def _unchanged(config: Config) -> float:
    assert config.nights is not None  # or nothing of last night was handed over
    return config.nights.unchanged
