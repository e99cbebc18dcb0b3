"""Rows of the dictionary as embedded in pages: the columns, their order, and the precision of numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa

from recsae.report.tables import Titles
from recsae.text.formatting import short

COLUMNS = (
    "latent",
    "name",
    "kind",
    "words",
    "gloss",
    "caption",
    "description",
    "terms",
    "interpretable",
    "confidence",
    "confidence_lower",
    "confidence_upper",
    "confidence_shuffled",
    "precision",
    "recall",
    "f1",
    "tp",
    "fp",
    "tn",
    "fn",
    "unseen_confidence",
    "unseen_lower",
    "unseen_upper",
    "core_words",
    "core_precision",
    "core_recall",
    "core_f1",
    "term_confidence",
    "promotes",
    "holds_down",
    "effect_confidence",
    "agrees",
    "judge_status",
    "judge_name",
    "judge_confidence",
    "judge_lower",
    "judge_upper",
    "judge_expected",
    "judge_shuffled",
    "judge_auc",
    "near_miss_rate",
    "near_direction_rate",
    "attribute_confidence",
    "attribute_confidence_shuffled",
    "attribute_auc",
    "held_out_confidence",
    "held_out_precision",
    "held_out_recall",
    "recsae_confidence",
    "recsae_recall",
    "recsae_true_negative_rate",
    "group",
    "group_name",
    "polysemantic",
    "meanings",
    "coherence",
    "frequency",
    "activations",
    "maximum",
    "top_items",
    "status",
)
"""The columns of CONCEPTS embedded in a page, read by name in its script; `top_items` as title numbers."""


class Name(NamedTuple):
    """What a latent is called where other latents are shown; as JSON, an array."""

    name: str | None
    interpretable: bool


NO_NAME = Name(None, False)


def names_of(concepts: pa.Table) -> dict[int, Name]:
    """The names of all latents of a dictionary in the schema CONCEPTS."""
    latents, *columns = (concepts.column(name).to_pylist() for name in ("latent", *Name._fields))
    return {latent: Name(*row) for latent, *row in zip(latents, *columns, strict=True)}


def dictionary_rows(concepts: pa.Table, titles: Titles) -> list[list[Any]]:
    """The rows with the columns COLUMNS, numbers rounded."""
    columns = {name: concepts.column(name).to_pylist() for name in COLUMNS}
    ids = concepts.column("top_item_ids").to_pylist()
    columns["top_items"] = [
        [titles.number(item_id, title) for item_id, title in zip(*pair, strict=True)]
        for pair in zip(ids, columns["top_items"], strict=True)
    ]
    return [[short(value) for value in row] for row in zip(*columns.values(), strict=True)]
