"""Numbers of items: numeric columns, years in titles, and popularity."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.data import numbers
from recsae.data.catalogue import Catalogue


def catalogue_of(titles: list[str], attributes: list[dict[str, list[str]]], popularity: list[int]) -> Catalogue:
    return Catalogue([f"i{n}" for n in range(len(titles))], titles, attributes, np.array(popularity, dtype=np.int64))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.99", 12.99),
        ("$1,299.00", 1299.0),
        ("1,299,000", 1299000.0),
        ("12,50 €", 12.5),
        ("EUR 7", 7.0),
        ("US$ 5", 5.0),
        ("-3", -3.0),
        (".5", 0.5),
        ("0", 0.0),
        ("0.25", 0.25),
        ("007", np.nan),
        ("1e5", np.nan),
        ("nan", np.nan),
        ("12 - 20", np.nan),
        ("PG-13", np.nan),
        ("", np.nan),
    ],
)
def test_a_value_parses_as_people_write_numbers(text: str, expected: float) -> None:
    assert numbers.parse(text) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Toy Story (1995)", 1995),
        ("Blade Runner [1982]", 1982),
        ("Blade Runner 2049 (2017)", 2017),
        ("2001: A Space Odyssey", np.nan),
        ("Persuasion (2007) (TV)", 2007),
        ("Friends (1994-2004)", 1994),
        ("Love (1927) (restored, 2005)", 1927),
        ("Version (4096)", np.nan),
        ("Two (1990) of (1999)", 1999),
    ],
)
def test_the_year_in_a_title_stands_in_brackets(title: str, expected: float) -> None:
    assert numbers.year_in(title) == pytest.approx(expected, nan_ok=True)


def test_numeric_columns_years_and_popularity() -> None:
    titles = [f"Film {n} ({1990 + n})" for n in range(12)] + ["Untitled"]
    attributes: list[dict[str, list[str]]] = [
        {"price": [f"{n}.50"], "genres": ["Drama", "War"], "stars": [str(n % 5)], "sku": [f"0{n}1"]} for n in range(12)
    ]
    found = numbers.build(catalogue_of(titles, [*attributes, {}], [5, 5, *range(6, 16), 0]))
    assert list(found) == ["price", "year", "popularity"]
    assert found["price"][:3].tolist() == [0.5, 1.5, 2.5] and np.isnan(found["price"][12])
    assert found["year"][:2].tolist() == [1990, 1991] and np.isnan(found["year"][12])
    # The least popular of 13 is at rank 1; two items share ranks 2 and 3.
    assert found["popularity"][[12, 0, 1, 11]] == pytest.approx([0.5 / 13, 2 / 13, 2 / 13, 12.5 / 13])
    assert {len(values) for values in found.values()} == {13}
    assert {values.dtype for values in found.values()} == {np.dtype(np.float64)}


def test_a_tenth_of_the_values_may_be_no_number() -> None:
    def found(wrong: int) -> dict[str, np.ndarray]:
        price = [{"price": ["n/a" if n < wrong else str(n)]} for n in range(20)]
        return numbers.build(catalogue_of([""] * 20, price, [0] * 20))

    assert np.isnan(found(2)["price"][:2]).all() and found(2)["price"][2] == 2
    assert "price" not in found(3)


def test_items_with_several_values_have_no_number() -> None:
    shelves = [{"shelves": [str(n), str(n + 1)]} for n in range(20)]
    assert list(numbers.build(catalogue_of([""] * 20, shelves, [0] * 20))) == ["popularity"]


def test_a_column_goes_before_the_year_in_titles_and_beside_popularity() -> None:
    attributes = [{"year": [str(1900 + n)], "popularity": [str(100 - n)]} for n in range(12)]
    found = numbers.build(catalogue_of([f"A ({2000 + n})" for n in range(12)], attributes, list(range(12))))
    assert list(found) == ["year", "popularity (attribute)", "popularity"]
    assert found["year"][0] == 1900 and found["popularity (attribute)"][0] == 100
    assert found["popularity"].tolist() == [(n + 0.5) / 12 for n in range(12)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([f"{n}.5" for n in range(60)], {"column"}),
        ([str(n) for n in range(1950, 2010)], {"column"}),
        ([str(n * n) for n in range(60)], {"column"}),
        ([str(n) for n in range(60)], set()),
        ([str(n) for n in range(1, 90) if n % 5], set()),
        ([f"{n}.5" for n in range(50)], set()),
        (["Drama"] * 60, set()),
    ],
)
def test_many_numbers_are_no_terms_unless_they_are_codes(values: list[str], expected: set[str]) -> None:
    catalogue = catalogue_of([""] * len(values), [{"column": [value]} for value in values], [0] * len(values))
    assert numbers.not_terms(catalogue) == expected


def test_an_empty_catalogue_has_no_numbers() -> None:
    assert numbers.build(catalogue_of([], [], []))["popularity"].shape == (0,)
