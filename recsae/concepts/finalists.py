"""Who is judged: the finalists of every latent, what else was proposed for it, and which finalist is chosen.

It knows the table of labels, and nothing of evidence or of how a concept is judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from recsae.schemas.concepts import LABELS
from recsae.store.run_store import Committed


class Finalist(NamedTuple):
    """A candidate that is judged."""

    latent: int
    candidate: int
    """Its number among the latent's candidates, the best by the labeller first."""
    concept: str
    terms: list[str]
    """What an item must bear, all of it, to be an instance; none where only a language model can tell."""
    source: str = "terms"

    @property
    def words(self) -> frozenset[str]:
        """The concept's text and each of its terms, without regard to capitals."""
        return frozenset(word.casefold() for word in (self.concept, *self.terms))


class Proposals(NamedTuple):
    """All that `labels` holds for judging."""

    finalists: list[Finalist]
    words: dict[int, set[str]]
    """For each latent the words of all its candidates, finalists or not."""


def read_proposals(labels: Committed) -> Proposals:
    """Latents in order, each with its candidates in order."""
    table = labels.read_table("labels.parquet").cast(LABELS)
    table = table.select(["latent", "candidate", "concept", "terms", "source", "finalist"])
    proposals = Proposals([], {})
    for row in sorted(table.to_pylist(), key=lambda row: (row["latent"], row["candidate"])):
        one = Finalist(row["latent"], row["candidate"], row["concept"], row["terms"], row["source"])
        proposals.words.setdefault(one.latent, set()).update(one.words - {""})  # a name that failed has no text
        if row["finalist"]:
            proposals.finalists.append(one)
    return proposals


def choose(judged: Iterable[tuple[Finalist, float | None, float]]) -> list[Finalist]:
    """Of each latent the first finalist whose AUC lies within one standard error of the latent's best.

    `judged` gives AUC and its standard error. A few select users cannot tell finalists apart that lie closer together;
    the labeller's order can, which comes from many more cases: terms before pairs before a free name, the most telling
    first (the rule of one standard error: Breiman et al. 1984). A finalist without a value is not chosen.
    """
    of_latent: dict[int, list[tuple[Finalist, float, float]]] = {}
    for finalist, value, error in judged:
        if value is not None:
            of_latent.setdefault(finalist.latent, []).append((finalist, value, error))
    chosen = []
    for _, found in sorted(of_latent.items()):
        _, best, error = max(found, key=lambda one: one[1])
        close = (finalist for finalist, value, _ in found if value >= best - error)
        chosen.append(min(close, key=lambda one: (one.source == "model", one.candidate)))
    return chosen
