"""Concepts found in a dictionary by name or terms, and the items that have them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsae.data.terms import Vocabulary
from recsae.errors import BadInput
from recsae.policies.concept_lookup import Dictionary


def row(latent: int, name: str | None, terms: list[str], interpretable: bool = False, confidence: float = 0.5):  # type: ignore[no-untyped-def]
    return {"latent": latent, "name": name, "terms": terms, "interpretable": interpretable, "confidence": confidence}


DICTIONARY = Dictionary(
    [
        row(0, "Sci-Fi", ["Sci-Fi"]),
        row(3, "Sci-Fi", ["Sci-Fi"], True, 0.7),
        row(4, "Sci-Fi", ["Sci-Fi"], True, 0.9),
        row(5, "Comedy and Romance", ["Comedy", "Romance"]),
        row(6, "films at sea", []),
        row(7, None, []),
        row(8, "Sci-Fi", []),
    ]
)


def test_interpretable_latents_come_first_then_the_surest() -> None:
    found = DICTIONARY.find("--more", " sci-fi")
    assert found.name == "Sci-Fi" and found.terms == ["Sci-Fi"] and found.latents == [4, 3, 0]


@pytest.mark.parametrize("wanted", ["Comedy and Romance", "romance, comedy", "Comedy+Romance"])
def test_a_pair_is_found_by_its_name_and_by_its_terms(wanted: str) -> None:
    assert DICTIONARY.find("--more", wanted).latents == [5]


def test_what_has_no_latent_or_no_terms_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--less SciFi: no latent of the dictionary .* nearest are Sci-Fi"):
        DICTIONARY.find("--less", "SciFi")
    with pytest.raises(BadInput, match="--more films at sea: the name has no terms"):
        DICTIONARY.find("--more", "films at sea")
    with pytest.raises(BadInput, match="the nearest are none"):
        Dictionary([]).find("--more", "x")


def test_names_are_of_latents_that_have_one() -> None:
    assert DICTIONARY.names[5] == "Comedy and Romance" and 7 not in DICTIONARY.names
    assert DICTIONARY.latents.tolist() == [0, 3, 4, 5, 6, 7, 8]


def test_an_item_has_a_concept_if_it_has_all_its_terms() -> None:
    has = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0]])
    vocabulary = Vocabulary(["Comedy", "Romance", "War"], sparse.csr_matrix(has))
    assert vocabulary.items_with(["comedy", "Romance"]).tolist() == [True, False, True, False]
    assert vocabulary.items_with(["War"]).tolist() == [False, True, True, False]
