"""Trait latents against scipy's correlations over users, for any sharding, and their false discovery rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats

from recsae.policies import trait_latents
from recsae.policies.trait_latents import Trait, correlated, find, of_table
from recsae.sae import model as saes
from recsae.sae.model import Sae
from recsae.schemas.base import PARTS, activations, conform
from recsae.steering.operations import dense
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Attempt, Metrics
from tests.conftest import Commit

USERS, WIDTH, LATENTS, ITEMS = 120, 8, 24, 40
HEAD_I = np.arange(ITEMS) < 15


def sae() -> Sae:
    torch.manual_seed(0)
    return Sae(WIDTH, LATENTS, "topk", 3).eval().requires_grad_(False)


def table(site: str = "user") -> pa.Table:
    """One to six cases of each user; those of group 1 lean along latent 2. Some first items are not given."""
    draw = np.random.default_rng(0)
    user = np.repeat(np.arange(USERS), draw.integers(1, 7, USERS))
    x = draw.normal(size=(len(user), WIDTH)) + 1.5 * (group_of()[user] == 1)[:, None] * sae().W_dec[2].numpy()
    top = draw.integers(0, ITEMS, len(user))
    columns = {
        "case_id": np.arange(len(user)),
        "user_idx": user,
        "position": np.ones(len(user), int),
        "item_idx": draw.integers(0, ITEMS, len(user)),
        "top_idx": pa.array(top, mask=draw.random(len(user)) < 0.2),
        "part": (user % 4 == 0).astype(np.int8) * PARTS.index("score"),
        "activation": shards.column(x.astype(np.float32)),
    }
    return conform(pa.table(columns), activations(WIDTH, site))


def group_of() -> np.ndarray:
    return np.random.default_rng(1).integers(-1, 3, USERS)


def by_user(found: pa.Table, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Explain users with a case that is told of, and their mean activations, in the plainest way."""
    z = dense(sae().encode(torch.from_numpy(shards.vectors(found).copy())), torch.arange(LATENTS), LATENTS).numpy()
    user = found["user_idx"].to_numpy()
    inside = (found["part"].to_numpy() == 0) & told
    users = np.unique(user[inside])
    return users, np.stack([z[inside & (user == one)].mean(0) for one in users])


def expected(y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = [stats.pearsonr(y, column) for column in z.T]
    return np.array([one.statistic for one in found]), np.array([one.pvalue for one in found])


def test_of_several_groups_the_strongest_contrast_counts() -> None:
    group_U = group_of()
    found = correlated(of_table(table(), sae(), Trait(group_U=group_U, groups=3)))
    users, z = by_user(table(), group_U[table()["user_idx"].to_numpy()] >= 0)
    r, p = zip(*(expected((group_U[users] == group).astype(float), z) for group in range(3)), strict=True)
    q_GH = stats.false_discovery_control(np.array(p), axis=None).reshape(3, LATENTS)
    assert found.users == len(users) and found.tested == 3 * LATENTS
    assert found.latent_N[0] == 2 and found.trait_N[0] == 1 and found.r_N[0] > 0.3
    for latent, value, trait, q in zip(found.latent_N, found.r_N, found.trait_N, found.q_N, strict=True):
        assert value == pytest.approx(r[trait][latent]) and abs(value) == pytest.approx(
            np.abs(np.array(r)[:, latent]).max()
        )
        assert q == pytest.approx(q_GH[trait, latent], rel=1e-6) and q < 0.05
    assert (np.diff(np.abs(found.r_N)) <= 0).all() and len(found.latent_N) < LATENTS // 2


def test_of_popularity_it_is_the_share_of_head_items() -> None:
    found = of_table(table(), sae(), Trait(head_I=HEAD_I))
    top = table()["top_idx"].fill_null(-1).to_numpy()
    users, z = by_user(table(), top >= 0)
    user, inside = table()["user_idx"].to_numpy(), (table()["part"].to_numpy() == 0) & (top >= 0)
    y = np.array([HEAD_I[top[inside & (user == one)]].mean() for one in users])
    assert found.users == len(users) and found.y_G == pytest.approx([y.sum()])
    assert found.z_H == pytest.approx(z.sum(0)) and found.zz_H == pytest.approx((z**2).sum(0))
    assert found.zy_GH[0] == pytest.approx(y @ z)


def test_on_the_item_side_an_item_is_its_own_case() -> None:
    found = of_table(table("item"), sae(), Trait(head_I=HEAD_I))
    assert found.users == len(by_user(table(), np.ones(table().num_rows, bool))[0])


@pytest.mark.parametrize("rows_at_once", [7, 10_000])
def test_shards_of_a_chunk_and_blocks_add_up(
    commit: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(trait_latents, "ROWS_AT_ONCE", rows_at_once)
    whole, folder = table(), Folder(str(tmp_path / "sae"))
    saes.save(folder, sae())
    border = int(np.searchsorted(whole["user_idx"].to_numpy(), 60))

    def write(out: Attempt) -> Metrics:
        # The first chunk is cut within a user, the second begins with a new one.
        cuts = [
            ("00000-000", 0, border // 2),
            ("00000-001", border // 2, border),
            ("00001-000", border, whole.num_rows),
        ]
        for name, start, stop in cuts:
            part = whole.slice(start, stop - start)
            shards.write(out.data, f"shards/chunk-{name}.arrow", part, activations(WIDTH))
        return {}

    trait = Trait(group_U=group_of(), groups=3)
    found, once = find(commit("activations", write), folder, trait), correlated(of_table(whole, sae(), trait))
    assert found.latent_N.tolist() == once.latent_N.tolist() and found.users == once.users
    assert found.r_N == pytest.approx(once.r_N)


def test_without_users_or_differences_there_are_none() -> None:
    nobody = correlated(of_table(table(), sae(), Trait(group_U=np.full(USERS, -1), groups=2)))
    alike = correlated(of_table(table(), sae(), Trait(group_U=np.zeros(USERS, int), groups=2)))
    assert len(nobody.latent_N) == len(alike.latent_N) == 0 and nobody.users == 0 < alike.users
