"""Whether the embedding space is last night's, by manifests alone."""

from __future__ import annotations

from collections.abc import Mapping

from recsae.config.recommender import ProbeConfig
from recsae.store.run_store import PREVIOUS, Committed
from recsae.text.redaction import redact_tree

WARM = "warm"
FRESH = "fresh"
"""How a recommender or an SAE started, in its metrics under `start`."""


def same_probe(inputs: Mapping[str, Committed], probe: ProbeConfig) -> bool:
    """Whether last night's SAE has tonight's site and view."""
    last: bool = inputs[PREVIOUS + "sae"].manifest["config"]["probe"] == redact_tree(probe.recorded())
    return last


def same_space(inputs: Mapping[str, Committed]) -> bool:
    """Whether the embedding space is unchanged, so that directions of last night's SAE apply to tonight's vectors.

    It is where the recommender is last night's, warm-started from it, or a foreign one with the same weights.
    """
    recommender, before = inputs["recommender"], inputs[PREVIOUS + "recommender"]
    if recommender.fingerprint == before.fingerprint:
        return True
    if recommender.metrics["kind"] == "foreign":
        return bool(recommender.metrics["weights"] == before.metrics.get("weights"))
    went_on = recommender.manifest.get("last", {}).get("recommender") == before.fingerprint
    return went_on and recommender.metrics.get("start") == WARM
