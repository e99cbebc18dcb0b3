"""What the page of a concept shows: by latent, in the order of each measure, cut to what is shown, and small."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsae.report.rows import latents as latent_rows
from recsae.report.rows.latents import ATTRIBUTES, ITEMS, latent_details
from recsae.report.tables import Titles
from recsae.schemas.base import ITEMS as ITEM_TABLE
from recsae.schemas.concepts import ATTRIBUTE_STATS, LATENT_ITEMS, LATENT_STATS, LEVELS
from recsae.schemas.steering import STEERING
from recsae.store.filesystem import Folder
from tests.report.concepts_table import HOSTILE, WORDS
from tests.report.made_page import METRICS, NO_TABLES, Tables, committed
from tests.report.made_tables import N_ITEMS, attribute_stats, step_row, table, tables


def details(root: Path, made: Tables, latents: list[int] | None = None) -> tuple[dict[str, Any], Titles]:
    titles = Titles()
    found = latent_details(
        committed(Folder(str(root)), METRICS, made), [0, 1, 2] if latents is None else latents, titles, 0.25
    )
    back: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return back, titles


def test_items_stand_in_the_order_of_each_measure(tmp_path: Path) -> None:
    found, titles = details(tmp_path, tables())
    numbers, activations, strength, lift, often, strongly, distinctive = found["items"]["2"]
    ids = [titles.as_json()["ids"][number] for number in numbers]
    assert [ids[place] for place in often] == [f"id {item}" for item in reversed(range(N_ITEMS))]
    assert [activations[place] for place in often] == list(range(N_ITEMS, 0, -1))
    assert [ids[place] for place in strongly] == [f"id {item}" for item in range(N_ITEMS)]
    assert [strength[place] for place in strongly][:3] == [102, 52, 35.3]
    assert [(ids[place], lift[place]) for place in distinctive] == [("id 2", 12.3)]
    assert titles.as_json()["titles"][numbers[often[0]]] == HOSTILE[-1]


def test_levels_are_counts_by_level_with_gaps_as_none_seen(tmp_path: Path) -> None:
    found, _ = details(tmp_path, tables())
    assert list(found["levels"]) == ["1"]
    catalogue, popular, cases, hits = found["levels"]["1"]
    assert (catalogue, popular) == (0.123, 0.25)
    assert cases == [1000, 21, 22, 23, 0, 25, 26, 27, 28, 29, 30]
    assert hits == [100, 2, 4, 6, 0, 10, 12, 14, 16, 18, 20]


def test_the_first_attributes_of_the_sae_alone(tmp_path: Path) -> None:
    found, _ = details(tmp_path, tables())
    rows = found["attributes"]["0"]
    assert [found["names"][pair] for _, pair, *_ in rows] == [[HOSTILE[r], WORDS[r]] for r in range(ATTRIBUTES)]
    assert rows[1][2:] == [-0.5, 0.06, 0.5, 0.75]
    assert rows[2][2:] == [0.7, 0.06, 0.5, None]
    assert found["views"] == ["recommended"]
    assert "other" not in json.dumps(found["names"])


def test_both_views_have_their_first_attributes(tmp_path: Path) -> None:
    found, _ = details(tmp_path, tables(("input", "recommended")))
    assert found["views"] == ["recommended", "input"]
    assert [view for view, *_ in found["attributes"]["0"]] == [0] * ATTRIBUTES + [1] * ATTRIBUTES


def test_a_turned_latent_is_told_up_and_out_beside_chance_and_probe(tmp_path: Path) -> None:
    found, _ = details(tmp_path, tables())
    assert set(found["turned"]) == {"1", "2"} and found["reference"] == 0.25
    clean, up, out, probe = found["turned"]["1"]
    assert (clean, probe) == (0.2, [0.45, -0.05])
    # Share and interval; NDCG@10 by tenths of 0.4 and interval; random directions; the place of the other concept.
    assert up == [0.4, 0.39, 0.415, -0.1, -0.15, -0.05, 0.22, -0.05, 0, -0.0312]
    assert out == [0.17, 0.16, 0.185, -0.1, -0.15, -0.05, 0.18, -0.05, 0, 0.004]
    assert found["sides"] == [HOSTILE[1], HOSTILE[2]]


def test_what_was_not_tried_of_a_latent_is_null(tmp_path: Path) -> None:
    at_the_item = {"operation": "scale", "probe_share_change": None, "probe_ndcg_change": None, "side_concept": None}
    rows = [step_row(1, 0.25, **at_the_item, side_change=None), step_row(2, None), step_row(0, 0.5)]
    found, _ = details(tmp_path, {("steering", "steering.parquet"): table(rows, STEERING)})
    assert set(found["turned"]) == {"1", "2"} and set(found) == {"turned", "sides", "reference", "curves"}
    _, up, out, probe = found["turned"]["1"]
    assert up[8:] == [None, None] and out is None and probe is None
    assert found["turned"]["2"][1] is None and found["turned"]["2"][2][8] == 0 and found["sides"] == [HOSTILE[2]]


def test_a_part_that_was_not_measured_is_not_there(tmp_path: Path) -> None:
    assert details(tmp_path / "nothing", NO_TABLES)[0] == {}
    empty = {
        ("evidence", "latent_items.parquet"): LATENT_ITEMS.empty_table(),
        ("scores", "levels.parquet"): LEVELS.empty_table(),
        ("statistics", "attribute_stats.parquet"): ATTRIBUTE_STATS.empty_table(),
        ("steering", "steering.parquet"): STEERING.empty_table(),
    }
    assert details(tmp_path / "empty", empty)[0] == {}
    one: dict[tuple[str, str], pa.Table] = {("statistics", "attribute_stats.parquet"): attribute_stats()}
    assert set(details(tmp_path / "one", one)[0]) == {"attributes", "views", "names"}
    assert "items" not in details(tmp_path / "other", tables(), [77])[0]


def test_other_latents_stay_where_they_are(tmp_path: Path) -> None:
    found, _ = details(tmp_path, tables(), [2, 0])
    assert set(found["items"]) == set(found["attributes"]) == {"0", "2"}
    assert "levels" not in found


def test_a_curve_has_all_strengths_in_order_and_not_the_ablation(tmp_path: Path) -> None:
    found, _ = details(tmp_path, tables())
    assert [step[0] for step in found["curves"]["1"]] == [-0.25, 0.25, 0.5]
    assert found["curves"]["1"][1] == [0.25, 0.4, 0.39, 0.415, 0.201, 0.18, 0.22, 0.45, -0.1]


def test_levels_begin_and_end_at_the_deciles(tmp_path: Path) -> None:
    stat = {"latent": 1, "frequency": 0.1, "activations": 9, "maximum": 2.5, "evidence_hash": "x", "top_items": []}
    rows = [stat | {"quantiles": [0.25 * decile for decile in range(1, 10)]}]
    found, _ = details(tmp_path, {("evidence", "latent_stats.parquet"): table(rows, LATENT_STATS)})
    assert found == {"deciles": {"1": [0, *(0.25 * decile for decile in range(1, 10)), 2.5]}}


def test_two_thousand_latents_with_items_of_their_own_stay_small(tmp_path: Path) -> None:
    draw = random.Random(0)
    size, catalogue = 200, 10_000
    rows = []
    for latent in range(size):
        for place, item in enumerate(draw.sample(range(catalogue), 3 * ITEMS)):
            ranks = dict.fromkeys(latent_rows.RANKS) | {latent_rows.RANKS[place % 3]: place // 3}
            count = draw.randrange(1, 100_000)
            rows.append(
                {"latent": latent, "item_idx": item, "activations": count, "strength": draw.random() * count}
                | {"lift": draw.uniform(1, 500), **ranks}
            )
    items = [
        {"item_idx": i, "item_id": f"B00{i:07d}", "title": "t" * 80, "attributes": [], "popularity": 1}
        for i in range(catalogue)
    ]
    made = tables() | {
        ("ingest", "items.parquet"): table(items, ITEM_TABLE),
        ("evidence", "latent_items.parquet"): table(rows, LATENT_ITEMS),
    }
    found, titles = details(tmp_path, made, list(range(size)))
    bytes_of_one = len(json.dumps([found["items"], titles.as_json()], separators=(",", ":"))) / size
    assert bytes_of_one < 4000
