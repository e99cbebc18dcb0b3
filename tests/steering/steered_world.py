"""Concepts over the planted users, a model and an SAE without training, and what an edit does, case by case by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from recsae.config.schema import Config
from recsae.data import writer
from recsae.data.catalogue import Catalogue
from recsae.data.chunks import n_chunks, read_cases, read_chunk
from recsae.data.stage import ingest
from recsae.recommenders import registry
from recsae.recommenders.base import Histories, Trainable
from recsae.sae import model as sae_files
from recsae.sae.model import Sae
from recsae.steering import interventions as plans
from recsae.steering.effects import SteeringSetup
from recsae.steering.interventions import InterventionPlan, plan_of, steer
from recsae.steering.operations import Operation, Steering, dense
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed
from tests.activations.committed import of_kind, trained
from tests.conftest import Commit

WIDTH, LATENTS, SEED = 16, 24, 3
STRENGTHS = (0.5, -0.25, 0.25)
STEERED = (3, 7, 11, 20)
CONCEPTS = (0, 1, 0, 2)
"""Of each steered latent; two stand for the same one."""
DIRECTIONS, NULLS = 6, 5
Edit = Callable[[Tensor], Tensor]


def an_sae(site: str) -> Sae:
    """Random weights, in the units of what an untrained SASRec is read at."""
    torch.manual_seed(2)
    sae = Sae(WIDTH, LATENTS, "topk", 4)
    sae.mean_D.normal_(0, 0.002)
    sae.scale.fill_(0.02 if site == "item" else 0.5)
    sae.b_enc.data.normal_(std=0.1)
    return sae.eval().requires_grad_(False)


def bearing(items: int) -> sparse.csr_array:
    """Concepts that overlap, and items that bear none."""
    item_I = np.arange(items)
    return sparse.csr_array(np.stack([item_I % 4 == 0, item_I % 3 == 1, item_I < 5], 1)).astype(np.int64)


def a_plan(
    sae: Sae, site: str, steered: Sequence[int] = STEERED, concepts: Sequence[int] = CONCEPTS
) -> InterventionPlan:
    draw = np.random.default_rng(5)
    probe_CD = draw.standard_normal((3, sae.width)).astype(np.float32)
    probe_CD /= np.linalg.norm(probe_CD, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "NULLS", NULLS)
        return plan_of(sae, steered, concepts, probe_CD, STRENGTHS, site, DIRECTIONS, SEED)


def in_chunks(commit: Commit, config: Config, chunks: int = 5) -> Committed:
    """The planted data in fewer chunks than ingest would make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "MIN_CHUNKS", chunks)
        return commit("ingest", lambda out: ingest(config, {}, out))


def a_setup(
    commit: Commit, config: Config, ingested: Committed, folder: str, site: str, users: int = 1000
) -> SteeringSetup:
    recommender = trained(commit, of_kind(config, "sasrec"), ingested)
    sae_files.save(Folder(folder), an_sae(site))
    catalogue = Catalogue.read(ingested)
    plan, bears_IC = a_plan(an_sae(site), site), bearing(catalogue.n_items)
    return SteeringSetup(
        ingested, recommender, Folder(folder), site, plan, bears_IC, catalogue.popularity, users, 60, SEED
    )


class Case(NamedTuple):
    """A test case: whose it is, the rank of its target, its first items."""

    user: int
    rank: int
    top: list[int]


@torch.inference_mode()
def by_hand(setup: SteeringSetup, part: str, edits: Mapping[int, Edit]) -> dict[int, list[Case]]:
    """Every test case of a part on its own after each edit, from the scores of the whole catalogue."""
    model = registry.load(setup.recommender, setup.site)
    assert isinstance(model, Trainable)
    item_ND = model.item_vectors(0, model.n_items)
    items = {name: edit(item_ND) if setup.site == "item" else item_ND for name, edit in edits.items()}
    found: dict[int, list[Case]] = {name: [] for name in edits}
    for user, seen, target in questions(setup.ingested, part):
        recent = seen[-model.max_length :]
        one = Histories(torch.tensor([user]), torch.tensor([recent]), torch.tensor([len(recent)]))
        h_LD = model.probe(one)[0]
        unseen = [item for item in range(model.n_items) if item not in seen]
        for name, edit in edits.items():
            moved_LD = h_LD if setup.site == "item" else edit(h_LD)
            score_N = (model.proceed(moved_LD[None], one)[0, -1] @ items[name].T).tolist()
            ahead = sum(score_N[item] >= score_N[target] for item in unseen if item != target)
            top = sorted(unseen, key=lambda item, by=score_N: -by[item])[:10]  # type: ignore[misc]
            found[name].append(Case(user, 1 + ahead, top))
    return found


def questions(ingested: Committed, part: str) -> Iterator[tuple[int, list[int], int]]:
    """User, earlier items and target of every test case."""
    for number in range(n_chunks(ingested)):
        chunk = read_chunk(ingested, number)
        for case in read_cases(ingested, number).to_pylist():
            if (case["split"], case["part"]) == ("test", part):
                begin = chunk.offsets[chunk.users.tolist().index(case["user_idx"])]
                seen = chunk.items[begin : begin + case["position"]].tolist()
                yield case["user_idx"], seen, case["target_idx"]


def tried(setup: SteeringSetup) -> dict[int, tuple[int, Edit]]:
    """By intervention its own concept and the same as an edit: of all latents, of all probes, and of some of the
    nulls."""
    plan, sae = setup.plan, sae_files.load(setup.sae)
    found: dict[int, tuple[int, Edit]] = {}
    for place, (latent, concept) in enumerate(zip(STEERED, CONCEPTS, strict=True)):
        for at, strength in enumerate(STRENGTHS):
            turning = Steering(sae, [steer(sae, latent, strength, setup.site)])
            found[int(plan.steer_LS[place, at])] = concept, turning
        found[int(plan.ablate_L[place])] = concept, Steering(sae, [Operation(latent, "ablate")])
        for r in (0, NULLS - 1):
            intervention = int(plan.null_ablate_LR[place, r])
            found[intervention] = concept, _along(setup, intervention, Operation(latent, "ablate"))
    for at, strength in enumerate(STRENGTHS):
        for r in (0, NULLS - 1):
            intervention = int(plan.null_LSR[1, at, r])
            own = CONCEPTS[1] if setup.site == "item" else -1
            found[intervention] = (
                own,
                _along(setup, intervention, steer(sae, STEERED[1], strength, setup.site)),
            )
        for concept in range(0 if plan.probe_CS is None else 3):
            assert plan.probe_CS is not None
            intervention = int(plan.probe_CS[concept, at])
            found[intervention] = (
                concept,
                _along(setup, intervention, steer(sae, STEERED[0], strength, setup.site)),
            )
    return found


def _along(setup: SteeringSetup, intervention: int, operation: Operation) -> Edit:
    """What the operation would do to its latent's activation, done along the direction of the intervention."""
    sae, of = sae_files.load(setup.sae), setup.plan.interventions
    direction_D = torch.from_numpy(of.direction_MD[of.row_E[intervention]])

    def edit(x_BD: Tensor) -> Tensor:
        z_B1 = dense(sae.encode(x_BD), torch.tensor([operation.latent]), LATENTS)
        return x_BD + ((operation.keep - 1) * z_B1 + operation.plus) * direction_D

    return edit
