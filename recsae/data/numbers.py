"""The numbers of items: columns of the catalogue that hold numbers, the year in a title, and popularity.

Statements speak of them in ranges: 1984 to 1991, price below 10.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from scipy.stats import rankdata

from recsae.data.catalogue import Catalogue

MIN_NUMERIC = 0.9
"""Share of the items with a value whose one value must be a number, for the attribute to be one of numbers."""
MIN_DISTINCT = 11
"""Fewer distinct numbers are categories, such as a count of stars."""
MAX_TERMS = 50
"""A numeric attribute with more distinct values has no terms, except codes: a price is not a word."""
CODES = 0.7
"""Share of the whole numbers from the least, 0 or 1, to the greatest that an attribute of codes has."""
YEAR = "year"
POPULARITY = "popularity"
_NUMBER = re.compile(r"[-+]?(?:0|[1-9]\d*)(?:\.\d+)?|[-+]?\.\d+")
"""A leading zero marks a code: `007` is no number."""
_DIGIT = re.compile(r"\d")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_CURRENCY = re.compile(r"^(?:[A-Z]{2,3}\s*)?[$€£¥₹₩]\s*|\s*[$€£¥₹₩]$|^(?:USD|EUR|GBP)\s+|\s+(?:USD|EUR|GBP)$")
_YEAR_IN_TITLE = re.compile(r"[(\[]((?:1[89]|20)\d\d)(?:\s*[-–—][^()\[\]]*)?[)\]]")
"""A year in round or square brackets, or the first of a span: `(1995)`, `[1982]`, `(1990-1994)`."""


def build(catalogue: Catalogue) -> dict[str, np.ndarray]:
    """`(n_items,)` float64 by name, NaN where missing: attributes in the order of the catalogue, year, popularity.

    `year` is the last one in brackets in a title, unless an attribute has that name. `popularity` is the quantile of an
    item's training events, 0 to 1, where items with equally many share their middle rank; an attribute of that name is
    `popularity (attribute)`.
    """
    found = {
        f"{name} (attribute)" if name == POPULARITY else name: number_I
        for name, number_I in _numeric_attributes(catalogue).items()
    }
    if not any(YEAR in attributes for attributes in catalogue.attributes):
        year_I = np.array([year_in(title) for title in catalogue.titles], dtype=np.float64)
        if len(_distinct(year_I)) >= MIN_DISTINCT:
            found[YEAR] = year_I
    found[POPULARITY] = (rankdata(catalogue.popularity) - 0.5) / max(catalogue.n_items, 1)
    return found


def not_terms(catalogue: Catalogue) -> set[str]:
    """The numeric attributes whose values are no terms."""
    distinct = {name: _distinct(number_I) for name, number_I in _numeric_attributes(catalogue).items()}
    return {name for name, number_N in distinct.items() if len(number_N) > MAX_TERMS and not _are_codes(number_N)}


def parse(text: str) -> float:
    """The number that a value is, or NaN: `12.99`, `$1,299.00`, `12,50 €`, `-3`."""
    if not _DIGIT.search(text):
        return np.nan
    plain = _THOUSANDS.sub("", _CURRENCY.sub("", text.strip())).replace(",", ".")
    return float(plain) if _NUMBER.fullmatch(plain) else np.nan


def year_in(title: str) -> float:
    """The last year in brackets, from 1800 to 2099, or NaN."""
    years = _YEAR_IN_TITLE.findall(title)
    return float(years[-1]) if years else np.nan


def without_years(title: str) -> str:
    """The title with its years in brackets as a semicolon, which parts phrases."""
    return _YEAR_IN_TITLE.sub("; ", title)


def _numeric_attributes(catalogue: Catalogue) -> dict[str, np.ndarray]:
    """`(n_items,)` by attribute of numbers, not of categories or codes; NaN where the one value is no number."""
    found: dict[str, np.ndarray] = {}
    with_value: Counter[str] = Counter()
    for item, attributes in enumerate(catalogue.attributes):
        for name, values in attributes.items():
            if name not in found:
                found[name] = np.full(catalogue.n_items, np.nan)
            with_value[name] += 1
            if len(values) == 1:
                found[name][item] = parse(values[0])
    return {
        name: number_I
        for name, number_I in found.items()
        if (~np.isnan(number_I)).sum() >= MIN_NUMERIC * with_value[name] and len(_distinct(number_I)) >= MIN_DISTINCT
    }


def _distinct(number_I: np.ndarray) -> np.ndarray:
    return np.unique(number_I[~np.isnan(number_I)])


def _are_codes(number_N: np.ndarray) -> bool:
    """Whether distinct numbers, ascending, look like those of categories: 0, 1, 2 and so on with few gaps."""
    whole = bool((number_N == np.floor(number_N)).all())
    return whole and number_N[0] in (0, 1) and len(number_N) >= CODES * (number_N[-1] - number_N[0] + 1)
