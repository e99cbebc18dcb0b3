"""The change of each concept, by stable id, statement and items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from recsae.data.terms import Vocabulary
from recsae.dictionary.drift import Members, compare, drift_metrics, lost_tick
from recsae.schemas.base import conform
from recsae.schemas.nightly import DRIFT
from recsae.statements.features import ItemFeatures
from recsae.statements.language import Behaviour, FreeText, ItemList, ItemSet, Statement


def listed(*items: str, view: Any = "last") -> Statement:
    return Statement(view=view, body=ItemList(items=items))


def length(low: float | None, high: float | None) -> Statement:
    return Statement(view="history", body=Behaviour(feature="history length", low=low, high=high))


def concept(
    latent: int, stable_id: str, statement: Statement | None, tops: str = "abcd", *, interpretable: bool = True
) -> dict[str, Any]:
    return {
        "latent": latent, "stable_id": stable_id, "name": statement and f"name of {stable_id}", "confidence": 0.8,
        "kind": statement.kind if statement else "unexplained", "words": statement and "words",
        "statement": statement and statement.to_json(), "top_item_ids": list(tops), "interpretable": interpretable,
        "frequency": 0.1 * latent,
    }  # fmt: skip


LAST = [
    concept(0, "same", listed("a")),
    concept(1, "most", listed("a", "b", "c")),
    concept(2, "said otherwise", listed("a", "b")),
    concept(3, "moved", listed("a", "b")),
    concept(4, "gone", listed("d")),
    concept(5, "view", listed("a", "b")),
    concept(6, "longer", length(None, 5)),
    concept(7, "unnamed", None, interpretable=False),
    concept(8, "lost", listed("d")),
    concept(9, "unnamed and gone", None, interpretable=False),
]
TONIGHT = [
    concept(10, "same", listed("a"), "wxyz"),
    concept(1, "most", listed("a", "b")),
    concept(2, "said otherwise", listed("c", "d")),
    concept(3, "moved", listed("c", "d"), "wxyz"),
    concept(5, "view", listed("a", "b", view="recommended")),
    concept(6, "longer", length(None, 8)),
    concept(7, "unnamed", None, interpretable=False),
    concept(8, "lost", listed("d"), interpretable=False),
    concept(11, "new", listed("a")),
]
MATCHES = {latent: {"similarity": latent / 10} for latent in range(12)}


def features(ids: str, vectors: np.ndarray | None = None) -> ItemFeatures:
    spaces = {} if vectors is None else {"recommender": vectors.astype(np.float32)}
    return ItemFeatures(list(ids), Vocabulary([], sparse.csr_matrix((len(ids), 0))), {}, spaces)


def changes(min_jaccard: float = 0.5) -> list[dict[str, Any]]:
    return compare(TONIGHT, LAST, MATCHES, Members(features("abcd"), features("dcba")).jaccard, min_jaccard)


def test_every_latent_of_both_nights_has_one_change() -> None:
    found = {row["stable_id"]: row for row in changes()}
    assert {stable_id: row["change"] for stable_id, row in found.items()} == {
        "same": "kept",
        "most": "kept",
        "said otherwise": "renamed",
        "moved": "moved",
        "view": "renamed",
        "longer": "kept",
        "unnamed": "kept",
        "lost": "kept",
        "new": "new",
        "gone": "gone",
        "unnamed and gone": "gone",
    }
    same, most = found["same"], found["most"]
    assert (same["latent"], same["last_latent"], same["jaccard"], same["top_jaccard"]) == (10, 0, 1, 0)
    assert most["jaccard"] == pytest.approx(2 / 3) and most["top_jaccard"] == 1 and most["similarity"] == 0.1
    assert found["longer"]["jaccard"] is None and found["gone"]["latent"] is found["gone"]["similarity"] is None
    assert found["new"]["last_latent"] is found["new"]["similarity"] is found["new"]["last_name"] is None


def test_the_threshold_is_the_configs() -> None:
    assert {row["stable_id"]: row["change"] for row in changes(0.9)}["most"] == "renamed"


def test_sets_of_other_seeds_in_another_space_are_one_concept_where_the_items_are() -> None:
    now, then = features("abcx", np.eye(2)[[0, 0, 1, 1]]), features("yabc", np.eye(3)[[2, 2, 2, 0]])
    around_a = Statement(view="last", body=ItemSet(space="recommender", seeds=("a",), min_cosine=0.5))
    around_b = Statement(view="last", body=ItemSet(space="recommender", seeds=("b", "y"), min_cosine=0.9))
    around_c = Statement(view="last", body=ItemSet(space="recommender", seeds=("c",), min_cosine=0.9))
    members = Members(now, then)
    assert members.jaccard(around_a, around_b) == 1, "a and b; x and y are of one night alone"
    assert members.jaccard(around_a, around_c) == 0 and members.jaccard(around_c, around_c) == 1
    assert members.jaccard(around_a, Statement(view="last", body=FreeText(text="Noir"))) is None


def test_another_end_of_a_feature_is_another_behaviour() -> None:
    shared = Members(features("abcd"), features("abcd")).jaccard
    (row,) = compare([concept(0, "x", length(9, None))], [concept(0, "x", length(None, 5))], MATCHES, shared, 0.5)
    assert row["change"] == "renamed"


def test_tonights_rows_come_first_in_the_order_of_the_dictionary() -> None:
    rows = changes()
    assert [row["latent"] for row in rows] == [*(row["latent"] for row in TONIGHT), None, None]
    assert conform(pa.Table.from_pylist(rows, DRIFT), DRIFT).num_rows == 11


def test_concepts_are_counted_apart_from_latents_without_one() -> None:
    rows = changes()
    assert drift_metrics(rows) == {
        "kept": 4, "renamed": 2, "moved": 1, "new": 1, "gone": 1,
        "unnamed": {"kept": 1, "renamed": 0, "moved": 0, "new": 0, "gone": 1},
        "lost": 1, "gained": 0, "interpretable_before": 8, "interpretable_gone": 1 / 8,
    }  # fmt: skip
    assert [row["stable_id"] for row in rows if lost_tick(row)] == ["lost"]
    back = compare(LAST, TONIGHT, MATCHES, Members(features("abcd"), features("abcd")).jaccard, 0.5)
    assert drift_metrics(back)["gained"] == 1
    assert drift_metrics([])["interpretable_gone"] is None
