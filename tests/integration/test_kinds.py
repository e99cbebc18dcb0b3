"""The whole line, events to dictionary and report, with every kind of recommender and with both ways in from elsewhere.

SASRec's own line is in test_line.py. All are told by the config alone, over one planted catalogue.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from recsae.config.schema import Config
from recsae.pipeline.runner import STAGES, Pipeline
from recsae.recommenders.ranking import pad
from recsae.store import shards
from recsae.store.run_store import Committed
from tests.planted import PLANTED
from tests.recommenders.external_models import gpt2

pytestmark = pytest.mark.usefixtures("engines")

GPT2 = {"width": 32, "max_length": 20}


def line(config: Config, root: Path, changes: dict[str, dict[str, Any]]) -> Pipeline:
    """The planted run with some sections changed, in a store of its own, run to its end."""
    told = config.model_dump(mode="json")
    for stage in ("ingest", "recommender"):  # where these are as in the planted run, they need not be made again
        shutil.copytree(Path(config.store.root, config.name, stage), root / config.name / stage)
    small = {
        "store": {"root": str(root)},
        "sae": {"num_latents": 12, "k": 2, "steps": 200, "checkpoints": 2},
        "evidence": {"top": 8, "level": 1},
        "scores": {"select_cases": 4, "score_cases": 8},
        "probe": {"view": None},
    }
    for section, values in [*small.items(), *changes.items()]:
        told[section] = {name: value for name, value in {**told[section], **values}.items() if value is not None}
    pipeline = Pipeline(Config.model_validate(told))
    for stage in STAGES:
        pipeline.run(stage)
    pipeline.publish()
    return pipeline


def done(pipeline: Pipeline, stage: str) -> Committed:
    committed = pipeline.committed(stage)
    assert committed is not None
    return committed


def check(pipeline: Pipeline, view: str) -> pd.DataFrame:
    """A row for every living latent, most of them scored, and a report that knows the kind."""
    found = pd.DataFrame(done(pipeline, "concepts").read_table("concepts.parquet").to_pylist())
    assert len(found) == done(pipeline, "evidence").metrics["alive"] > 0
    assert found.confidence.notna().mean() > 0.5 and {*found.view} == {view}
    report = done(pipeline, "report")
    page = Path(report.data.locate(report.files("report")[0])).read_text()
    assert pipeline.config.recommender.kind in page
    return found


@pytest.mark.parametrize(
    ("recommender", "site", "view"),
    [
        ({"kind": "gpt"}, "block-0", "input"),
        ({"kind": "timirec", "interests": 2}, "user", "recommended"),
        (
            {"kind": "bprmf", "loss": "bpr", "negatives": 1, "batch_size": 512, "learning_rate": 0.02},
            "user",
            "recommended",
        ),
        (
            {"kind": "lightgcn", "loss": "bpr", "negatives": 1, "batch_size": 512, "learning_rate": 0.02},
            "user",
            "recommended",
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_the_line_of_each_kind(
    planted_run: tuple[Config, Path], tmp_path: Path, recommender: dict[str, Any], site: str, view: str
) -> None:
    pipeline = line(planted_run[0], tmp_path, {"recommender": recommender, "probe": {"site": site, "view": None}})
    found = check(pipeline, view)
    ingested, read = done(pipeline, "ingest").metrics, done(pipeline, "activations").metrics
    one_a_user = recommender["kind"] in ("bprmf", "lightgcn")
    assert read["cases"] == (ingested["users"] if one_a_user else ingested["cases"]) and read["site"] == site
    clean = done(pipeline, "sae").metrics["fidelity"]["rows"]["clean"]
    assert clean["hr@10"] > 2 * 10 / ingested["items"]
    if not one_a_user:
        assert {*found[found.interpretable].name} & {*PLANTED}


def test_the_item_side(planted_run: tuple[Config, Path], tmp_path: Path) -> None:
    """A case an item; the concept is what the item itself bears."""
    pipeline = line(planted_run[0], tmp_path, {"probe": {"site": "item", "view": None}})
    check(pipeline, "input")
    assert done(pipeline, "activations").metrics["cases"] == done(pipeline, "ingest").metrics["items"]


def test_a_hugging_face_model(planted_run: tuple[Config, Path], tmp_path: Path) -> None:
    """GPT-2 as its owners would train it, with tokens of their own, read at a block."""
    frame = pd.read_parquet(planted_run[0].data.interactions[0])
    tokens = {item: token for token, item in enumerate(sorted(frame.item_id.unique())[::-1], 1)}
    torch.manual_seed(0)
    model = gpt2(n_tokens=len(tokens) + 1, **GPT2).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    events = [rows.map(tokens).to_numpy()[:-2] for _, rows in frame.groupby("user_id", sort=False).item_id]
    for step in range(150):
        rows = [events[(32 * step + row) % len(events)][-21:] for row in range(32)]
        histories = pad(rows, "cpu", torch.arange(32).numpy())
        mask = torch.arange(histories.items_BL.shape[1]) < histories.length_B[:, None]
        logits = model(input_ids=histories.items_BL[:, :-1], attention_mask=mask[:, :-1].long()).logits
        loss = F.cross_entropy(logits[mask[:, 1:]], histories.items_BL[:, 1:][mask[:, 1:]])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    safetensors.torch.save_model(model, str(tmp_path / "gpt2.safetensors"))
    pd.DataFrame({"item_id": list(tokens), "token": list(tokens.values())}).to_csv(tmp_path / "tokens.csv", index=False)
    foreign = {
        "factory": "tests.recommenders.external_models:gpt2",
        "arguments": {"n_tokens": len(tokens) + 1, **GPT2},
        "weights": str(tmp_path / "gpt2.safetensors"),
        "vocabulary": str(tmp_path / "tokens.csv"),
        "inputs": {"input_ids": "items", "attention_mask": "mask", "position_ids": "positions"},
        "padding": "left",
        "output": "logits",
    }
    pipeline = line(
        planted_run[0],
        tmp_path / "store",
        {
            "recommender": {"kind": "foreign", "foreign": foreign},
            "probe": {"site": "transformer.h.1", "view": "recommended"},
        },
    )
    found = check(pipeline, "recommended")
    test = done(pipeline, "recommender").metrics["test"]
    assert test["hr@10"] > 2 * 10 / done(pipeline, "ingest").metrics["items"]
    assert {*found[found.interpretable].name} & {*PLANTED}


def test_activations_that_were_given(planted_run: tuple[Config, Path], tmp_path: Path) -> None:
    """What SASRec's line read, handed in as files, gives a dictionary without any model."""
    ours = Pipeline(planted_run[0])
    read = done(ours, "activations")
    table = pa.concat_tables([shards.read(read.data, name) for name in read.files(shards.PREFIX)])
    users, items = (
        done(ours, "ingest").read_table(f"{name}.parquet")[f"{name[:-1]}_id"].to_numpy() for name in ("users", "items")
    )
    vectors = table.select(["case_id", "activation"])
    pq.write_table(vectors.slice(0, 1000), tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as sink, pa.ipc.new_file(sink, vectors.schema) as writer:
        writer.write_table(vectors.slice(1000))
    cases = {
        "case_id": table["case_id"],
        "user_id": users[table["user_idx"].to_numpy()],
        "item_id": items[table["item_idx"].to_numpy()],
        "top_item_id": items[table["top_idx"].to_numpy()],
    }
    pq.write_table(pa.table(cases), tmp_path / "cases.parquet")
    given = {"activations": [str(tmp_path / name) for name in ("a.parquet", "b.arrow")]}
    pipeline = line(
        planted_run[0],
        tmp_path / "store",
        {"recommender": {"kind": "given"}, "probe": {**given, "cases": str(tmp_path / "cases.parquet")}},
    )
    found = check(pipeline, "recommended")
    rows = done(pipeline, "sae").metrics["fidelity"]["rows"]
    assert "clean" not in rows and set(rows["sae"]) == {"fvu", "fvu_interval"}
    assert {*found[found.interpretable].name} & {*PLANTED}
