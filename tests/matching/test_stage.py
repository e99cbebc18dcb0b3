"""Matching of latents by activations and by directions, one to one, and stable ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from recsae.config.schema import Config
from recsae.matching.stage import SampledCodes, correlate, cosines, match, match_latents
from recsae.sae import model
from recsae.schemas.base import PARTS, activations
from recsae.store import shards
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics
from tests.conftest import Commit
from tests.sae.fake_ray import without_ray

WIDTH, LATENTS, CASES = 12, 12, 600
PROBE = Config(name="x").probe.recorded()


def codes(dense_BH: np.ndarray, case_B: np.ndarray) -> SampledCodes:
    return SampledCodes(case_B, sparse.csr_array(dense_BH))


def test_correlations_are_those_of_numpy_over_the_cases_of_both() -> None:
    draw = np.random.default_rng(0)
    a, b = (np.maximum(draw.normal(size=(50, width)), 0) for width in (5, 7))
    found, cases = correlate(codes(a[:40], np.arange(40)), codes(b[10:], np.arange(10, 50)))
    assert cases == 30
    expected = np.corrcoef(np.concatenate([a[10:40], b[10:40]], axis=1).T)[:5, 5:]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_silent_latent_correlates_with_nothing() -> None:
    dense = np.eye(4)
    dense[:, 2] = 0
    found, _ = correlate(codes(dense, np.arange(4)), codes(np.eye(4), np.arange(4)))
    assert (found[2] == 0).all() and found[1, 1] == pytest.approx(1)
    none, cases = correlate(codes(dense, np.arange(4)), codes(np.eye(4), np.arange(10, 14)))
    assert cases == 0 and (none == 0).all()


def test_a_permutation_is_found_and_what_is_alike_to_nothing_stays_alone() -> None:
    order = np.random.default_rng(1).permutation(8)
    alike = np.full((8, 8), 0.1)
    alike[np.arange(8), order] = 0.9
    alike[3] = 0.2
    found = match(alike, None, 0.5)
    assert dict(zip(found.latent_N.tolist(), found.last_N.tolist(), strict=True)) == {
        latent: int(order[latent]) for latent in range(8) if latent != 3
    }
    assert found.cosine_N is None


def test_two_that_want_the_same_share_out_by_the_largest_sum() -> None:
    alike = np.array([[0.9, 0.8], [0.85, 0.1]])
    found = match(alike, None, 0.5)
    assert list(zip(found.latent_N, found.last_N, strict=True)) == [(0, 1), (1, 0)]


def test_pairs_below_the_threshold_do_not_displace_better_ones() -> None:
    # The largest sum of all would be .45 + .45; of those that count it is .6 alone.
    found = match(np.array([[0.6, 0.45], [0.45, 0.0]]), None, 0.5)
    assert list(zip(found.latent_N, found.last_N, strict=True)) == [(0, 0)]


def test_directions_count_as_much_as_firing_where_they_may() -> None:
    correlation, cosine = np.array([[0.9, 0.0], [0.0, 0.4]]), np.array([[-0.2, 0.0], [0.0, 0.9]])
    found = match(correlation, cosine, 0.5)
    assert found.latent_N.tolist() == [1] and found.similarity_N.tolist() == [pytest.approx(0.65)]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)


class Nights:
    """Nights whose latents fire along the axes of the activations, in an order of their own."""

    def __init__(self, commit: Commit) -> None:
        self.commit = commit

    def night(
        self, order: np.ndarray, rotation: np.ndarray, start: str, last: dict[str, Committed]
    ) -> dict[str, Committed]:
        """Latent l fires along axis `order[l]`; vectors are those of the first night, turned by `rotation`."""
        draw = np.random.default_rng(0)
        axis = draw.integers(0, WIDTH, CASES)
        vectors = (np.eye(WIDTH)[axis] * draw.uniform(1, 2, (CASES, 1)) @ rotation).astype(np.float32)
        columns = {name: np.zeros(CASES, np.int32) for name in ("user_idx", "position", "item_idx", "top_idx")}
        table = pa.table(
            {
                "case_id": np.arange(CASES),
                **columns,
                "part": np.zeros(CASES, np.int8),
                "activation": shards.column(vectors),
            }
        )

        def write(out: Attempt) -> Metrics:
            for number in range(2):
                half = table[number * CASES // 2 : (number + 1) * CASES // 2]
                shards.write(out.data, f"shards/{number}.arrow", half, activations(WIDTH))
            return {"cases_by_part": dict.fromkeys(PARTS, CASES)}

        sae = model.Sae(WIDTH, LATENTS, "relu")
        with torch.no_grad():
            directions = torch.tensor((np.eye(WIDTH) @ rotation)[order], dtype=torch.float32)
            sae.W_enc.copy_(directions), sae.W_dec.copy_(directions)

        def write_sae(out: Attempt) -> Metrics:
            model.save(out.data.child("model"), sae)
            return {}

        inputs = {
            "recommender": self._of("recommender", lambda out: {"kind": "sasrec", "start": start}, last),
            "activations": self._of("activations", write, {}),
            "sae": self._of("sae", write_sae, {}),
        }
        return {**inputs, **{PREVIOUS + name: found for name, found in last.items()}}

    def _of(self, name: str, write: Callable[[Attempt], Metrics], last: dict[str, Committed]) -> Committed:
        made = self.commit(name, write)
        told = {key: found.fingerprint for key, found in last.items() if key == name}
        return Committed(made.folder, {**made.manifest, "config": {"probe": PROBE}, "last": told})

    def match(
        self, inputs: dict[str, Committed], **config: Any
    ) -> tuple[dict[str, Committed], list[dict[str, Any]], Metrics]:
        wanted = Config.model_validate({"name": "x", "nights": {}, **config})
        done = self.commit("matching", lambda out: match_latents(wanted, inputs, out))
        tonight = {name: found for name, found in inputs.items() if not name.startswith(PREVIOUS)}
        return {**tonight, "matching": done}, done.read_table("matches.parquet").to_pylist(), done.metrics


IDENTITY = np.eye(WIDTH)
TURNED = np.linalg.qr(np.random.default_rng(5).normal(size=(WIDTH, WIDTH)))[0]


def test_ids_follow_the_latents_over_three_nights_in_the_same_space_and_in_another(commit: Commit) -> None:
    nights = Nights(commit)
    orders = [np.random.default_rng(seed).permutation(LATENTS) for seed in range(3)]
    first, rows, metrics = nights.match(nights.night(orders[0], IDENTITY, "fresh", {}))
    assert metrics == {"latents": LATENTS, "matched": 0}
    ids = {int(orders[0][row["latent"]]): row["stable_id"] for row in rows}
    assert len(set(ids.values())) == LATENTS and all(row["last_latent"] is None for row in rows)

    second, rows, metrics = nights.match(nights.night(orders[1], IDENTITY, "warm", first))
    assert metrics["matched"] == LATENTS and metrics["same_space"]
    assert {int(orders[1][row["latent"]]): row["stable_id"] for row in rows} == ids
    assert all(row["cosine"] == pytest.approx(1, abs=1e-6) for row in rows)

    _, rows, metrics = nights.match(nights.night(orders[2], TURNED, "fresh", second))
    assert metrics["matched"] == LATENTS and not metrics["same_space"]
    assert {int(orders[2][row["latent"]]): row["stable_id"] for row in rows} == ids
    assert all(row["cosine"] is None and row["correlation"] > 0.9 for row in rows)


def test_a_new_latent_gets_an_id_that_nobody_had(commit: Commit) -> None:
    nights = Nights(commit)
    same = np.arange(LATENTS)
    first, before, _ = nights.match(nights.night(same, IDENTITY, "fresh", {}))
    other = same.copy()
    other[4] = 5  # two latents on one axis: one of them is new
    _, rows, metrics = nights.match(nights.night(other, IDENTITY, "warm", first))
    assert metrics["matched"] == LATENTS - 1
    known = {row["stable_id"] for row in before}
    new = [row["latent"] for row in rows if row["stable_id"] not in known]
    assert len(new) == 1 and new[0] in (4, 5)


def test_another_site_has_nothing_in_common_with_last_night(commit: Commit) -> None:
    nights = Nights(commit)
    first, _, _ = nights.match(nights.night(np.arange(LATENTS), IDENTITY, "fresh", {}))
    inputs = nights.night(np.arange(LATENTS), IDENTITY, "warm", first)
    _, rows, metrics = nights.match(inputs, probe={"site": "block-0"})
    assert metrics["matched"] == 0 and all(row["last_latent"] is None for row in rows)


def test_cosines_are_of_unit_rows() -> None:
    one, other = model.Sae(WIDTH, 3), model.Sae(WIDTH, 5)
    found = cosines(one.requires_grad_(False), other.requires_grad_(False))
    assert found.shape == (3, 5) and np.abs(found).max() <= 1 + 1e-6
