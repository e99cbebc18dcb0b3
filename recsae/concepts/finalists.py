"""Reads the finalists of every latent and all words proposed for it, and chooses one finalist per latent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from recsae.schemas.concepts import LABELS
from recsae.store.run_store import Committed


class Finalist(NamedTuple):
    """A candidate that the judges score."""

    latent: int
    candidate: int
    """Its index among the latent's candidates, in the labeller's order, best first."""
    concept: str
    terms: list[str]
    """An instance has all of these terms; empty if only a language model can decide."""
    source: str = "terms"

    @property
    def words(self) -> frozenset[str]:
        """The concept's text and each of its terms, case-folded."""
        return frozenset(word.casefold() for word in (self.concept, *self.terms))


class Proposals(NamedTuple):
    """What the judges need from the table `labels`."""

    finalists: list[Finalist]
    words: dict[int, set[str]]
    """For each latent, the words of all its candidates, finalists or not."""


def read_proposals(labels: Committed) -> Proposals:
    """Reads finalists and words from `labels`, in the order of latents and candidates."""
    table = labels.read_table("labels.parquet").cast(LABELS)
    table = table.select(["latent", "candidate", "concept", "terms", "source", "finalist"])
    proposals = Proposals([], {})
    for row in sorted(table.to_pylist(), key=lambda row: (row["latent"], row["candidate"])):
        one = Finalist(row["latent"], row["candidate"], row["concept"], row["terms"], row["source"])
        proposals.words.setdefault(one.latent, set()).update(one.words - {""})  # a failed name has no text
        if row["finalist"]:
            proposals.finalists.append(one)
    return proposals


def choose(judged: Iterable[tuple[Finalist, float | None, float]]) -> list[Finalist]:
    """For each latent, the first finalist whose AUC lies within one standard error of the latent's best.

    `judged` holds AUC and standard error. The few select users cannot separate finalists that are closer than this; the
    labeller's order can, as it rests on many more cases: terms, then pairs, then the free name, most informative first
    (one-standard-error rule: Breiman et al. 1984). A finalist without an AUC is never chosen.
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
