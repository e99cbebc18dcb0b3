"""Correlations from sums against numpy on dense matrices, and the selection of attributes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from recsae.sae import attributes
from recsae.sae.attributes import (
    Attributes,
    AttributeSums,
    add,
    add_dimensions,
    add_firings,
    add_latents,
    best_latents,
    select_attributes,
    top_attributes,
    zero_counts,
    zero_sums,
)

CASES, LATENTS, ACTIVE, BORNE = 400, 12, 3, 7
DEAD, CONSTANT = 10, 11


def a_code(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three different latents per case, some of them inactive; the last two are dead and constant."""
    draw = np.random.default_rng(seed)
    index = np.argsort(draw.random((CASES, DEAD)), axis=1)[:, :ACTIVE]
    value = np.maximum(draw.normal(0.5, 1, (CASES, ACTIVE)), 0)
    index = np.column_stack([index, np.full(CASES, CONSTANT)]).astype(np.int32)
    value = np.column_stack([value, np.full(CASES, 0.1)]).astype(np.float32)
    return np.where(value > 0, index, 0).astype(np.int32), value


def dense(index: np.ndarray, value: np.ndarray) -> np.ndarray:
    whole = np.zeros((len(index), LATENTS))
    np.add.at(whole, (np.arange(len(index))[:, None], index), value.astype(np.float64))
    return whole


def borne_by_cases(seed: int = 1) -> np.ndarray:
    """`(CASES, BORNE)` of 0 and 1; a case's item has several."""
    return (np.random.default_rng(seed).random((CASES, BORNE)) < np.linspace(0.2, 0.7, BORNE)).astype(np.float64)


def chosen(bears: np.ndarray) -> Attributes:
    pairs = [("genre", str(number)) for number in range(bears.shape[1])]
    return Attributes(pairs, bears.sum(0).astype(np.int64), sparse.csr_array(bears), len(bears))


def sums_of(index: np.ndarray, value: np.ndarray, bears: np.ndarray, edges: list[int]) -> AttributeSums:
    """Sums of the pieces between `edges`, added up."""
    total = zero_sums(LATENTS, bears.shape[1])
    for start, stop in zip([0, *edges], [*edges, len(index)], strict=True):
        part = zero_sums(LATENTS, bears.shape[1])
        add_latents(part, index[start:stop], value[start:stop], sparse.csr_array(bears[start:stop]))
        add(total, part)
    return total


def correlations(code: np.ndarray, bears: np.ndarray) -> np.ndarray:
    """`(BORNE, latents)` by numpy, for latents that vary."""
    return np.asarray(np.corrcoef(code.T, bears.T)[code.shape[1] :, : code.shape[1]])


def test_latents_correlate_as_numpy_has_it() -> None:
    (index, value), bears = a_code(), borne_by_cases()
    found = best_latents(sums_of(index, value, bears, []), chosen(bears), both_signs=False)
    expected = correlations(dense(index, value)[:, :DEAD], bears)
    np.testing.assert_allclose(found.best_A, expected.max(1), atol=1e-12)
    assert found.latent_A.tolist() == expected.argmax(1).tolist()
    assert found.mean == pytest.approx(expected.max(1).mean())


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_raw_dimensions_count_with_both_signs_and_whatever_their_mean(offset: float) -> None:
    bears = borne_by_cases()
    x = np.random.default_rng(2).normal(offset, 1, (CASES, 5)).astype(np.float32)
    x[:, 3] -= 2 * bears[:, 4].astype(np.float32)
    sums = zero_sums(5, BORNE)
    for start in range(0, CASES, 90):
        add_dimensions(sums, x[start : start + 90], sparse.csr_array(bears[start : start + 90]))
    found = best_latents(sums, chosen(bears), both_signs=True)
    expected = correlations(x.astype(np.float64), bears)
    assert expected[4].argmin() == found.latent_A[4] == 3
    np.testing.assert_allclose(found.best_A, np.abs(expected).max(1), atol=1e-9)


@pytest.mark.parametrize("edges", [[1], [200], [0, 7, 7, 399]])
def test_pieces_add_up_to_the_whole(edges: list[int]) -> None:
    (index, value), bears = a_code(), borne_by_cases()
    for one, other in zip(sums_of(index, value, bears, edges), sums_of(index, value, bears, []), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_latents_that_never_vary_correlate_by_0() -> None:
    index, value = np.full((CASES, 1), CONSTANT, dtype=np.int32), np.full((CASES, 1), 0.1, dtype=np.float32)
    bears = borne_by_cases()
    found = best_latents(sums_of(index, value, bears, [3, 50]), chosen(bears), both_signs=False)
    assert found.best_A.tolist() == [0.0] * BORNE and found.mean == 0.0


def test_of_equal_latents_the_lowest_is_named() -> None:
    bears = borne_by_cases()
    here = np.tile(np.array([7, 4, 9], dtype=np.int32), (CASES, 1))
    value = np.repeat(bears[:, [2]], 3, axis=1).astype(np.float32)
    found = best_latents(sums_of(here, value, bears, []), chosen(bears), both_signs=False)
    assert found.latent_A[2] == 4 and found.best_A[2] == pytest.approx(1)


def test_the_place_of_padding_does_not_matter() -> None:
    (index, value), bears = a_code(), borne_by_cases()
    elsewhere = np.where(value == 0, 5, index).astype(np.int32)
    for one, other in zip(sums_of(index, value, bears, []), sums_of(elsewhere, value, bears, []), strict=True):
        np.testing.assert_array_equal(one, other)


ITEMS: list[dict[str, list[str]]] = [
    {"genres": ["Drama", "War"], "tags": ["Drama"]},
    {"genres": ["Drama"], "tags": ["slow"]},
    {"genres": ["War"], "tags": ["slow"]},
    {},
]
COUNTS = np.array([30, 25, 20, 5])


def test_attributes_have_support_and_are_pairs_of_name_and_value() -> None:
    found = select_attributes(ITEMS, COUNTS, 16)
    # Drama the tag has 30 cases, slow 45.
    assert found.pairs == [("genres", "Drama"), ("genres", "War")]
    assert found.support_A.tolist() == [55, 50] and found.cases == 80
    assert found.has_IA.toarray().tolist() == [[1, 1], [1, 0], [0, 1], [0, 0]]


def test_an_attribute_of_all_cases_is_left_out() -> None:
    assert select_attributes(
        [{"kind": ["film"], "genres": ["War"]}, {"kind": ["film"]}], np.array([60, 60]), 16
    ).pairs == [("genres", "War")]


def test_the_most_frequent_stay_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = COUNTS * 10
    assert select_attributes(ITEMS, counts, 1).pairs[:2] == [("genres", "Drama"), ("genres", "War")]
    assert len(select_attributes(ITEMS, counts, 1).pairs) == 4
    monkeypatch.setattr(attributes, "MAX_SUMS", 100)
    assert select_attributes(ITEMS, counts, 34).pairs == [("genres", "Drama"), ("genres", "War")]
    monkeypatch.setattr(attributes, "MAX_ATTRIBUTES", 1)
    assert select_attributes(ITEMS, counts, 34).support_A.tolist() == [550]


@pytest.mark.parametrize("items", [ITEMS, [{}, {}, {}, {}]])
def test_without_support_there_is_no_mean(items: list[dict[str, list[str]]]) -> None:
    found = select_attributes(items, np.zeros(4, dtype=np.int64), 16)
    assert found.pairs == [] and found.has_IA.shape == (4, 0)
    assert best_latents(zero_sums(16, 0), found, both_signs=False).mean is None


def test_counts_of_cases_in_which_latents_fire() -> None:
    (index, value), bears = a_code(), borne_by_cases()
    total = zero_counts(LATENTS, BORNE)
    for start in range(0, CASES, 90):
        part, some = zero_counts(LATENTS, BORNE), slice(start, start + 90)
        add_firings(part, index[some], value[some], sparse.csr_array(bears[some]))
        add(total, part)
    fires = dense(index, value) > 0
    assert total.count_H.dtype == total.both_AH.dtype == np.int64
    assert total.count_H.tolist() == fires.sum(0).tolist() and not total.count_H[DEAD]
    assert total.both_AH.tolist() == [[int((fires[:, h] & (a == 1)).sum()) for h in range(LATENTS)] for a in bears.T]


@pytest.mark.parametrize("at_once", [1, 30, 2**22])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_most_correlated_attributes_of_each_latent(
    count: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (index, value), bears = a_code(), borne_by_cases()
    monkeypatch.setattr(attributes, "MAX_FLOATS_PER_BLOCK", at_once)
    found = top_attributes(sums_of(index, value, bears, []), chosen(bears), count)
    assert sorted(set(found.latent_N.tolist())) == list(range(DEAD)) == found.latent_N[found.rank_N == 0].tolist()
    for latent in range(DEAD):
        expected = [stats.pearsonr(dense(index, value)[:, latent], borne).statistic for borne in bears.T]
        order = sorted(range(BORNE), key=lambda row: -abs(expected[row]))[:count]
        mine = found.latent_N == latent
        assert found.row_N[mine].tolist() == order and found.rank_N[mine].tolist() == list(range(len(order)))
        np.testing.assert_allclose(found.correlation_N[mine], [expected[row] for row in order], atol=1e-12)


def test_of_equally_correlated_attributes_the_more_frequent_comes_first() -> None:
    bears = np.repeat(borne_by_cases()[:, [5]], 4, axis=1)
    index, value = a_code()
    found = top_attributes(sums_of(index, value, bears, []), chosen(bears), 2)
    assert found.row_N.tolist() == [0, 1] * DEAD


@pytest.mark.parametrize("at_once", [1, 2**22])
def test_the_best_latent_does_not_depend_on_blocks(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (index, value), bears = a_code(), borne_by_cases()
    expected = best_latents(sums_of(index, value, bears, []), chosen(bears), both_signs=True)
    monkeypatch.setattr(attributes, "MAX_FLOATS_PER_BLOCK", at_once)
    found = best_latents(sums_of(index, value, bears, []), chosen(bears), both_signs=True)
    assert found.best_A.tolist() == expected.best_A.tolist() and found.latent_A.tolist() == expected.latent_A.tolist()


def test_without_attributes_no_row_is_listed() -> None:
    found = top_attributes(zero_sums(16, 0), select_attributes([{}, {}], np.array([60, 60]), 16), 20)
    assert [len(column) for column in found] == [0, 0, 0, 0]
