"""RecTools' SASRec through the stages: trained on the planted events as RecTools pads them, then read case by case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsae.config.schema import Config
from recsae.data.chunks import read_chunk
from recsae.pipeline.runner import Pipeline
from recsae.store import shards
from tests.planted import write_planted

pytest.importorskip("rectools", reason="`make test` installs it without its pins, which clash with ours")
LENGTH, N_ITEMS = 12, 48
ARGUMENTS = {"n_items": N_ITEMS, "width": 16, "blocks": 2, "heads": 2, "max_length": LENGTH}
SITE = "transformer_layers.last_layernorm"


def left_padded(histories: list[np.ndarray], length: int) -> Tensor:
    """As RecTools' data preparator fills up: zeros before the newest `length` tokens."""
    rows = torch.zeros(len(histories), length, dtype=torch.long)
    for row, history in zip(rows, histories, strict=True):
        row[-len(history[-length:]) :] = torch.from_numpy(history[-length:].astype(np.int64))
    return rows


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planted events, a vocabulary that numbers items from behind, and the weights after some epochs."""
    from tests.recommenders.rectools_sasrec import build

    folder = tmp_path_factory.mktemp("rectools")
    write_planted(folder, n_users=160, n_concepts=4, items_per_concept=12, events_per_user=(6, 24))
    frame = pd.read_parquet(folder / "interactions.parquet")
    tokens = {item: N_ITEMS - place for place, item in enumerate(sorted(frame.item_id.unique()))}
    pd.DataFrame({"item_id": list(tokens), "token": list(tokens.values())}).to_csv(folder / "tokens.csv", index=False)
    training = [rows.map(tokens).to_numpy()[:-2] for _, rows in frame.groupby("user_id", sort=False).item_id]
    torch.manual_seed(0)
    model = build(**ARGUMENTS).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(400):
        x = left_padded([training[(32 * step + row) % len(training)] for row in range(32)], LENGTH + 1)
        known = x[:, :-1] > 0
        loss = F.cross_entropy(model(x[:, :-1])[known], x[:, 1:][known])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    safetensors.torch.save_model(model, str(folder / "weights.safetensors"))
    return folder


def pipeline_of(folder: Path) -> Pipeline:
    return Pipeline(
        Config.model_validate(
            {
                "name": "rectools",
                "store": {"root": str(folder / "store")},
                "data": {
                    "interactions": [str(folder / "interactions.parquet")],
                    "min_user_events": 1,
                    "min_item_events": 1,
                },
                "cases": {"max_per_user": 6},
                "recommender": {
                    "kind": "foreign",
                    "max_length": LENGTH,
                    "foreign": {
                        "factory": "tests.recommenders.rectools_sasrec:build",
                        "arguments": ARGUMENTS,
                        "weights": str(folder / "weights.safetensors"),
                        "vocabulary": str(folder / "tokens.csv"),
                        "padding": "left",
                        "fixed_length": True,
                        "case_by_case": True,
                    },
                },
                "probe": {"site": SITE, "view": "recommended"},
                "sae": {"num_latents": 8, "k": 2, "steps": 50, "batch_size": 128, "checkpoints": 1},
            }
        )
    )


def test_from_events_to_the_sae(ray_session: str, catalogue: Path) -> None:
    """What is read of a case is what RecTools itself holds and serves for the history up to it."""
    pipeline = pipeline_of(catalogue)
    ingested, trained, read, kept = (pipeline.run(stage) for stage in ("ingest", "recommender", "activations", "sae"))
    assert trained.metrics["test"]["hr@10"] > 2 * 10 / N_ITEMS
    assert read.metrics["cases"] == ingested.metrics["cases"] > 3 * ingested.metrics["users"]
    assert read.metrics["width"] == 16
    assert kept.metrics["fidelity"]["rows"]["sae"]["hr@10"] > 10 / N_ITEMS
    tokens = pd.read_csv(catalogue / "tokens.csv", index_col="item_id").token
    token_of = tokens[ingested.read_table("items.parquet")["item_id"].to_pylist()].to_numpy()
    table, chunk = shards.read(read.data, read.files(shards.PREFIX)[0]), read_chunk(ingested, 0)
    cases = table.to_pandas()
    start = chunk.offsets[np.searchsorted(chunk.users, cases.user_idx)]
    seen = [chunk.items[first : first + case.position] for first, case in zip(start, cases.itertuples(), strict=True)]
    h_CD, scores_CN = theirs(catalogue, left_padded([token_of[items] for items in seen], LENGTH))
    np.testing.assert_allclose(shards.vectors(table), h_CD, atol=1e-5, rtol=1e-4)
    for case, items, scores_N in zip(cases.itertuples(), seen, scores_CN[:, token_of], strict=True):
        scores_N[items] = -np.inf
        assert scores_N[case.top_idx] >= scores_N.max() - 1e-4


@torch.inference_mode()
def theirs(folder: Path, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What the module holds at the site, and its scores of all tokens, at the end of each row."""
    from tests.recommenders.rectools_sasrec import build

    model: nn.Module = build(**ARGUMENTS).eval()
    model.load_state_dict(safetensors.torch.load_file(folder / "weights.safetensors"))
    held: list[Tensor] = []
    model.get_submodule(SITE).register_forward_hook(lambda module, given, out: held.append(out[:, -1].clone()))
    scores = model(x)[:, -1]
    return held[0].numpy(), scores.numpy()
