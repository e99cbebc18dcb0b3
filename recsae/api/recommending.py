"""Recommendations of a run in this process, clean or under a policy, and policies made on the fly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from recsae.api.models import load_recommender, load_sae, recommender_of, stage
from recsae.data.chunks import chunk_of
from recsae.distributed.cluster import start_ray
from recsae.errors import BadInput
from recsae.policies import apply, audience, policy
from recsae.policies.build import PolicyInputs
from recsae.policies.concept_shares import ShareTarget, change_shares, find_concepts
from recsae.policies.policy import Policy
from recsae.schemas.steering import RECOMMENDATIONS
from recsae.steering import recommending
from recsae.steering.operations import Steering
from recsae.steering.recommending import RecommendationRequest
from recsae.steering.steered import SteeredRecommender

if TYPE_CHECKING:
    from recsae.api.run import Run

MAX_LOSS = 0.1
"""Share of NDCG@10 that a policy on the fly may lose."""


def recommend(run: Run, users: Sequence[str] | None, k: int, given: Policy | str | Path | None) -> pd.DataFrame:
    """One row an item; see Run.recommend."""
    if k < 1:
        raise BadInput(f"k = {k}: give at least 1")
    ingested = stage(run, "ingest")
    asked = RecommendationRequest(
        ingested,
        recommender_of(run),
        run.config.probe.site,
        min(k, int(ingested.metrics["items"])),
        None if users is None else audience.by_ids("users", ingested, _listed(users)),
        device=run.config.resources.device,
    )
    if given is not None:
        source, read = _read(run, given)
        asked = apply.steer("policy", source, read, asked, stage(run, "sae"))
    return pa.concat_tables([RECOMMENDATIONS.empty_table(), *_tables(run, asked)]).to_pandas()  # type: ignore[no-any-return]


def _tables(run: Run, asked: RecommendationRequest) -> Iterator[pa.Table]:
    """Some users are answered in this process, all of them by Ray tasks."""
    if asked.wanted is None:
        start_ray(run.config)
        yield from (found.table for found in recommending.recommend(asked))
    else:
        for number in np.unique(chunk_of(asked.ingested, asked.wanted)).tolist():
            yield recommending.of_chunk(asked, number).table


def make_policy(run: Run, more: Mapping[str, float], less: Mapping[str, float]) -> Policy:
    """For all users; see Run.policy."""
    for option, factors in (("more", more), ("less", less)):
        for concept, factor in factors.items():
            if not (math.isfinite(factor) and factor > 1):
                raise BadInput(f"{option} = {{{concept!r}: {factor:g}}}: give a finite number above 1")
    if not more and not less:
        raise BadInput("a policy recommends more of a concept, or less; give one with its factor")
    targets = [ShareTarget("more", concept, factor) for concept, factor in more.items()]
    targets += [ShareTarget("less", concept, 1 / factor) for concept, factor in less.items()]
    recommender_of(run)
    made = PolicyInputs.of(run.served.made)
    find_concepts(made, targets)  # before Ray is started for them
    start_ray(run.config)
    return change_shares(run.config, made, targets, max_loss=MAX_LOSS)


def steered(run: Run, given: Policy | str | Path) -> SteeredRecommender:
    """See Run.steered."""
    source, read = _read(run, given)
    sae, device = load_sae(run, run.config.resources.device), run.config.resources.device
    policy.check("policy", source, read, recommender_of(run), stage(run, "sae"), run.config.probe.site, sae.num_latents)
    return SteeredRecommender(load_recommender(run, device), Steering(sae, read.steps()))


def _read(run: Run, given: Policy | str | Path) -> tuple[str, Policy]:
    """What the policy is called in a message, and the policy."""
    if isinstance(given, Policy):
        return f"of run {run.config.name}", given
    return str(given), policy.read("policy", str(given))


def _listed(users: Sequence[str]) -> list[str]:
    return [users] if isinstance(users, str) else [str(user) for user in users]
