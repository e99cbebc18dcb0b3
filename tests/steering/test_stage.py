"""The stage from labels and scores to its two tables, without Ray: whom it turns, what it tells, and when nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.concepts.best_candidate import BestCandidate, read_chosen
from recsae.config.concepts import SteeringConfig
from recsae.config.recommender import RankingConfig
from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.sae import model as sae_files
from recsae.schemas.concepts import SCORES
from recsae.schemas.steering import STEERING, WISHES
from recsae.statements.language import Statement
from recsae.steering import stage
from recsae.steering.effects import measure
from recsae.steering.operations import Operation, Steering
from recsae.steering.rows import Figures, steering_rows
from recsae.steering.stage import measure_steering, setup_of, subjects_of
from recsae.steering.target_share import target_rows
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.activations.committed import of_kind, probe_config, probed, trained
from tests.concepts.worlds import genres, labels_of, latents_by_concept, statements_of, term
from tests.conftest import Commit, committing
from tests.sae.fake_ray import without_ray
from tests.steering.steered_world import an_sae, by_hand, in_chunks

SITES = ("user", "item", "block-0")
STRENGTHS, REFERENCE = (0.5, -0.25, 0.25), 0.25
Inputs = dict[str, Committed]


@pytest.fixture(scope="module")
def lines(planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Config, Inputs]]:
    """By site the config and what stands before the stage; four latents are believed, a free name among them."""
    commit = committing(tmp_path_factory.mktemp("stage"))
    ingested = in_chunks(commit, planted_config, 2)
    first, second, third, _ = genres(ingested)
    named = {3: [first], 5: ["Late at night"], 7: [second], 9: [third], 11: [first]}
    about = {
        "labels": labels_of(commit, ingested, named),
        "scores": scores_of(commit, [3, 5, 7, 11], [9]),
        "statements": statements_of(commit, ingested, said(ingested), doubted=[9]),
        "evidence": latents_by_concept(commit, ingested, 12),
    }
    return {site: line(commit, planted_config, ingested, site, about) for site in SITES}


def said(ingested: Committed) -> dict[int, Statement | None]:
    first, second, third, _ = genres(ingested)
    return {3: term(first), 5: None, 7: term(second), 9: term(third), 11: term(first)}


def line(commit: Commit, config: Config, ingested: Committed, site: str, about: Inputs) -> tuple[Config, Inputs]:
    steering = SteeringConfig(
        strengths=STRENGTHS, reference=REFERENCE, target_multiple=1.2, null_directions=20, users=1000
    )
    probe = probe_config(site=site)
    config = config.model_copy(update={"steering": steering, "probe": probe, "ranking": RankingConfig(bootstrap=100)})
    recommender = trained(commit, of_kind(config, "sasrec"), ingested)
    written, _ = probed(commit, ingested, recommender, probe)
    activations = Committed(written.folder, {**written.manifest, "metrics": {"site": site}})

    def save(out: Attempt) -> Metrics:
        sae_files.save(out.data.child("model"), an_sae(site))
        return {}

    inputs = {"ingest": ingested, "recommender": recommender, "activations": activations, "sae": commit("sae", save)}
    return config, inputs | about


def scores_of(commit: Commit, believed: list[int], doubted: list[int], candidate: int = 0) -> Committed:
    counts = dict.fromkeys(("tp", "fp", "tn", "fn"), 1)
    names = {"candidate": candidate, "concept": "", "part": "score", "judge": "llm", **counts}
    rows = [
        {"latent": latent, "control": control, "lower": lower, "confidence": lower, **names}
        for of, bound in ((believed, 0.9), (doubted, 0.5))
        for latent in of
        for control, lower in (("none", bound), ("shuffled", 0.5))
    ]

    def write(out: Attempt) -> Metrics:
        out.write_table("scores.parquet", pa.Table.from_pylist(rows, SCORES), SCORES)
        return {}

    return commit("scores", write)


@pytest.fixture(autouse=True)
def on_the_spot(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)


def run(commit: Commit, config: Config, inputs: Inputs) -> tuple[pa.Table, pa.Table, Metrics]:
    done = commit("steering", lambda out: measure_steering(config, inputs, out))
    return done.read_table("steering.parquet"), done.read_table("steering_wishes.parquet"), done.metrics


@pytest.mark.slow
@pytest.mark.parametrize("site", SITES)
def test_what_is_told_is_what_the_edit_does(site: str, lines: dict[str, tuple[Config, Inputs]], commit: Commit) -> None:
    config, inputs = lines[site]
    table, targets, metrics = run(commit, config, inputs)
    rows = table.to_pylist()
    assert [(row["part"], row["latent"], row["strength"]) for row in rows] == [
        (part, latent, s) for part in ("select", "score") for latent in (3, 5, 7, 11) for s in (*STRENGTHS, None)
    ]
    catalogue = Catalogue.read(inputs["ingest"])
    chosen = read_chosen(inputs, catalogue)
    subjects = subjects_of(chosen, catalogue.n_items)
    setup, sae = setup_of(config, inputs, subjects, catalogue), an_sae(site)
    edits: dict[int, Any] = {-1: lambda x_BD: x_BD}
    edits |= {
        n: Steering(sae, [Operation(row["latent"], row["operation"], row["value"])]) for n, row in enumerate(rows)
    }
    first, second, *_ = genres(inputs["ingest"])
    has = {genre: [genre in attributes["genres"] for attributes in catalogue.attributes] for genre in (first, second)}
    told_of = [item in chosen[5].members for item in range(catalogue.n_items)]
    truth = {3: has[first], 5: told_of, 7: has[second], 11: has[first]}
    name = {latent: chosen[3 if latent == 11 else latent].concept for latent in truth}
    right = []
    for part in ("select", "score"):
        hands = by_hand(setup, part, edits)
        for number, row in enumerate(rows):
            if row["part"] == part:
                clean, after = (share(truth[row["latent"]], hands[edit]) for edit in (-1, number))
                right.append(np.allclose([row["share"], row["share_change"]], [after, after - clean]))
                assert row["concept"] == name[row["latent"]] and row["cases"] == row["users"] == len(hands[-1])
    assert np.mean(right) > 0.95 and len(right) == len(rows)
    kinds = [("scale", 1 + 2 * s) if site == "item" else ("add", 4 * s) for s in STRENGTHS]
    assert [(row["operation"], row["value"]) for row in rows] == 8 * [*kinds, ("ablate", 0)]

    ways = ("latent",) if site == "item" else ("latent", "probe")
    told = [(row["concept"], row["direction"]) for row in targets.to_pylist()]
    assert told == [(name[latent], way) for latent in (3, 5, 7) for way in ways]
    figures = [Figures(measure(setup, part), setup.plan, 3) for part in ("select", "score")]
    assert targets.to_pylist() == target_rows(figures[0], figures[1], subjects.steered, subjects.names, 1.2)
    assert (setup.users, setup.resamples, setup.seed) == (1000, 100, config.seed)
    assert (metrics["latents"], metrics["concepts"], metrics["unchecked"]) == (4, 3, 0)
    assert metrics["nudges"] == len(setup.plan.own_E) and metrics["cases"]["score"] == rows[-1]["cases"]


def test_latents_above_the_null_are_counted_at_the_reference_on_score_users(
    lines: dict[str, tuple[Config, Inputs]], commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, inputs = lines["user"]
    above = {("score", 3, REFERENCE), ("score", 11, REFERENCE), ("score", 7, 0.5), ("select", 7, REFERENCE)}

    def made_up(*asked: Any) -> list[dict[str, Any]]:
        rows = steering_rows(*asked)
        for row in rows:
            row["null_upper"] = 0.3
            row["share_lower"] = 0.4 if (row["part"], row["latent"], row["strength"]) in above else 0.3
        return rows

    monkeypatch.setattr(stage, "steering_rows", made_up)
    assert run(commit, config, inputs)[2]["above_null"] == 2


def share(members: list[bool], cases: list[Any]) -> float:
    return float(np.mean([members[item] for case in cases for item in case.top]))


@pytest.mark.slow
@pytest.mark.parametrize("site", SITES)
def test_the_same_twice(site: str, lines: dict[str, tuple[Config, Inputs]], commit: Commit) -> None:
    config, inputs = lines[site]
    once, again = (run(commit, config, inputs) for _ in range(2))
    assert once[0].equals(again[0]) and once[1].equals(again[1])


def test_the_order_of_labels_and_scores_is_of_no_account(
    lines: dict[str, tuple[Config, Inputs]], commit: Commit
) -> None:
    config, inputs = lines["user"]
    first, second, third, _ = genres(inputs["ingest"])
    named = {11: [first], 9: [third], 7: [second], 5: ["Late at night"], 3: [first]}
    said_back = dict(reversed(said(inputs["ingest"]).items()))
    back = {
        "labels": labels_of(commit, inputs["ingest"], named),
        "scores": scores_of(commit, [11, 7, 5, 3], [9]),
        "statements": statements_of(commit, inputs["ingest"], said_back, doubted=[9]),
    }
    once, again = (run(commit, config, of) for of in (inputs, inputs | back))
    assert once[0].equals(again[0]) and once[1].equals(again[1])


def test_a_latent_is_the_same_whoever_else_is_turned(lines: dict[str, tuple[Config, Inputs]], commit: Commit) -> None:
    """But for side effects, which are of the other concepts that are steered."""
    config, inputs = lines["user"]
    alone = inputs | {
        "scores": scores_of(commit, [7], [3, 5, 9, 11]),
        "statements": statements_of(commit, inputs["ingest"], said(inputs["ingest"]), doubted=[3, 9, 11]),
    }
    keep = [name for name in STEERING.names if not name.startswith("side")]
    whole, one = (run(commit, config, of)[0] for of in (inputs, alone))
    assert whole.filter(pa.compute.equal(whole["latent"], 7)).select(keep).equals(one.select(keep))
    assert set(one["side_concept"].to_pylist()) == {None} and set(one["side_effect"].to_pylist()) == {0}


def nothing(table: pa.Table, targets: pa.Table) -> bool:
    return (
        table.num_rows == targets.num_rows == 0
        and table.schema.equals(STEERING, check_metadata=True)
        and targets.schema.equals(WISHES, check_metadata=True)
    )


def test_without_a_model_there_is_nothing_to_turn(lines: dict[str, tuple[Config, Inputs]], commit: Commit) -> None:
    """Activations that were given: neither they nor the SAE are looked at."""
    config, inputs = lines["user"]
    few = {name: inputs[name] for name in ("ingest", "evidence", "statements", "labels", "scores")}
    table, targets, metrics = run(commit, config, few | {"recommender": given(commit)})
    assert nothing(table, targets)
    assert metrics == {"latents": 0, "concepts": 0, "unchecked": 0}


def given(commit: Commit) -> Committed:
    return commit("recommender", lambda out: {"kind": "given"})


def test_without_a_latent_that_is_believed_there_is_nothing_to_turn(
    lines: dict[str, tuple[Config, Inputs]], commit: Commit
) -> None:
    config, inputs = lines["user"]
    latents = [3, 5, 7, 9, 11]
    nothing_holds = {
        "scores": scores_of(commit, [], latents),
        "statements": statements_of(commit, inputs["ingest"], said(inputs["ingest"]), doubted=latents),
    }
    table, targets, metrics = run(commit, config, inputs | nothing_holds)
    assert nothing(table, targets) and metrics["unchecked"] == 0


def candidate(concept: str, members: list[int], interpretable: bool = True) -> BestCandidate:
    return BestCandidate(concept, None, np.array(members, np.int32), [], interpretable, "formula")


def test_whom_to_steer() -> None:
    """Latents with the same members share a concept, which has the name of the first; none is lost, none invented."""
    chosen = {
        8: candidate("Drama: Heat", [1, 4]),
        2: candidate("Late at night", []),
        6: candidate("Drama", [1, 4]),
        4: candidate("Horror", [2], interpretable=False),
        1: candidate("Comedy", [0, 3, 5]),
        9: candidate("In the rain", [], interpretable=False),
    }
    subjects = subjects_of(chosen, 6)
    assert subjects.steered == [(1, 0), (6, 1), (8, 1)]
    assert subjects.names == ["Comedy", "Drama"]
    assert subjects.unchecked == 1
    assert subjects.bears_IC.toarray().tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 1], [1, 0]]
    assert subjects_of(dict(sorted(chosen.items())), 6)[:2] == subjects[:2]


def test_nobody_to_steer() -> None:
    subjects = subjects_of({}, 7)
    assert subjects.steered == subjects.names == [] and subjects.bears_IC.shape == (7, 0)
