"""What names are made of: the gloss of items, and the items that tell for a latent."""

from __future__ import annotations

from recsae.concepts import described
from recsae.data.catalogue import Catalogue
from recsae.statements import features
from recsae.statements.language import Formula, ItemList, ItemSet, Range, Statement, Step, Term
from recsae.store.run_store import Committed
from tests.concepts.worlds import genres, items_by_concept, latents_by_concept, statements_of, term
from tests.conftest import Commit


def described_of(
    commit: Commit, ingested: Committed, found: dict[int, Statement | None], *contestants: tuple[int, Statement, float]
) -> dict[int, described.Described]:
    catalogue = Catalogue.read(ingested)
    statements = statements_of(commit, ingested, found, contestants=contestants)
    telling = described.telling_items(latents_by_concept(commit, ingested, 4))
    read = described.read_found(statements)
    told = described.describe(read, features.read(catalogue, statements), telling)
    return {one.latent: one for one in told}


def test_items_are_called_by_a_short_formula_that_tells_the_latent_nearly_as_well(
    commit: Commit, ingested: Committed
) -> None:
    catalogue, (first, second, third, _) = Catalogue.read(ingested), genres(ingested)
    items = [[catalogue.ids[int(item)] for item in of] for of in items_by_concept(ingested)]
    seeds = ItemSet(space="recommender", seeds=tuple(items[0][:2]), min_cosine=0.9)
    around = Statement(view="last", body=seeds)  # confidence .9 less a hundredth of the latent
    several = Formula(literal=Term(term=first), steps=(Step(op="or", literal=Term(term=second)),))
    half = Statement(view="last", body=Formula(literal=Range(feature="popularity", low=0.1)))
    middle = Statement(view="last", body=Formula(literal=Range(feature="popularity", low=0.6, high=0.9)))
    latents: dict[int, Statement | None] = dict.fromkeys(range(7), around) | {7: None}
    told = described_of(
        commit,
        ingested,
        latents,
        (0, term(first, "last"), 0.81),
        (0, Statement(view="last", body=several), 0.89),
        (1, term(first, "last"), 0.78),  # more than a tenth below .89
        (2, term(first, "recommended"), 0.88),  # another view
        (3, half, 0.87),  # holds of nine items of ten
        (4, Statement(view="last", body=several), 0.85),
        (6, middle, 0.84),
        (5, term("film", "last"), 0.84),  # every title has the word
    )
    assert {latent: one.heading for latent, one in told.items()} == {
        0: first, 1: None, 2: None, 3: None, 4: f"{first} or {second}", 5: None, 6: None,
    }  # fmt: skip
    assert told[0].key is not None and told[1].key is None and all(one.around for one in told.values())
    assert third not in str(told)


def test_its_own_items_tell_first_then_those_of_its_view_then_the_evidence(commit: Commit, ingested: Committed) -> None:
    catalogue, first = Catalogue.read(ingested), genres(ingested)[0]
    concepts = [of.tolist() for of in items_by_concept(ingested)]
    ids = catalogue.ids
    own = ItemSet(space="recommender", seeds=(ids[concepts[2][5]],), min_cosine=0.9)
    listed = ItemList(items=(ids[concepts[1][1]], ids[concepts[0][3]], ids[concepts[2][5]]))
    told = described_of(
        commit,
        ingested,
        {0: Statement(view="last", body=own), 1: term(first, "last"), 2: Statement(view="last", body=listed)},
        (0, Statement(view="last", body=listed), 0.8),
        (0, Statement(view="recommended", body=ItemList(items=(ids[concepts[3][0]],))), 0.8),
        (1, Statement(view="last", body=listed), 0.8),
    )
    assert told[0].telling[:3] == (concepts[2][5], concepts[1][1], concepts[0][3])
    assert sorted(told[0].telling[2:]) == concepts[0]  # by the evidence, which lists what latent 0 is about
    assert told[1].telling == (concepts[0][3],)  # only what satisfies the formula
    assert told[2].listed and not told[0].listed and not told[1].around
