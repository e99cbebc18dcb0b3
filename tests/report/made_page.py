"""The page that the stage writes for made-up figures, and a reader of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsae.config.schema import Config
from recsae.report.stage import write_report
from recsae.store.filesystem import Folder
from recsae.store.progress import Lease, Progress
from recsae.store.run_store import Attempt, Committed

STAGES = (
    "ingest",
    "recommender",
    "activations",
    "sae",
    "evidence",
    "statements",
    "labels",
    "scores",
    "steering",
    "concepts",
)
Tables = Mapping[tuple[str, str], pa.Table]
"""By stage and file."""
NO_TABLES: Tables = {}
RANKING = {f"{name}@{cutoff}": cutoff / 100 for name in ("hr", "ndcg") for cutoff in (5, 10, 20, 50)}
METRICS: dict[str, dict[str, Any]] = {
    "ingest": {
        "users": 610,
        "items": 3650,
        "events": 90274,
        "cases": 41234,
        "events_by_split": {"train": 89054, "validation": 610, "test": 610},
        "users_by_part": {"explain": 305, "select": 152, "score": 153},
    },
    "recommender": {"test": RANKING, "validation": RANKING, "best_epoch": 17, "epochs": 22},
    "activations": {"cases": 41234, "width": 64, "shards": 1},
    "sae": {
        "fvu": 0.1234,
        "l0": 8.0,
        "dead_share": 0.05,
        "num_latents": 256,
        "kind": "topk",
        "k": 8,
        "l1": None,
        "learning_rate": 0.0016,
        "seed": 0,
        "width": 64,
        "steps": 3000,
        "best_step": 2700,
        "fidelity": {
            "cases": 150,
            "users": 153,
            "part": "score",
            "rank": 8,
            "rows": {
                "clean": RANKING | {"ndcg@10_interval": [0.08, 0.12]},
                "sae": {
                    "fvu": 0.1234,
                    "fvu_interval": [0.12, 0.127],
                    "hr@10": 0.09,
                    "ndcg@10": 0.095,
                    "ndcg@10_kept": 0.95,
                    "ndcg@10_kept_interval": [0.911, 1.004],
                    "top10_overlap": 0.713,
                },
                "sae_with_error": {"fvu": 1e-15, "hr@10": 0.1, "ndcg@10_kept": 1.0},
                "pca": {"fvu": 0.4},
                "untrained": {"fvu": 0.5, "ndcg@10_kept": 0.591},
                "raw": {"fvu": 0.49},
            },
        },
        "correlation": {"sae": 0.4933, "raw": 0.2406, "untrained": 0.3454},
        "attributes": [
            {
                "attribute": "genres",
                "value": "Comedy",
                "cases": 40152,
                "latent": 1804,
                "sae": 0.333,
                "raw": 0.4333,
                "untrained": 0.294,
            }
        ],
        "sweep": [],
    },
    "evidence": {"alive": 243},
    "statements": {
        "shuffled": 243,
        "shuffled_accepted": 2,
        "null": 64,
        "null_accepted": 1,
        "effects": 50,
        "effects_agree": 30,
        "effects_disagree": 5,
    },
    "labels": {"model": "smollm2-135m", "prompt_version": "1", "candidates": 2430, "failed": 12},
    "scores": {"judge": "pmi", "judge_auc": 0.731, "prompts": 22222, "failed": 3},
    "concepts": {
        "latents": 243,
        "interpretable": 4,
        "shuffled": 243,
        "shuffled_interpretable": 2,
        "interpretable_bar": 0.61,
        "asked": 16,
        "judged": 14,
        "judge_accepted": 1,
    },
}


class Page(HTMLParser):
    """Tags, attributes and the content of elements whose text is raw."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag in ("script", "style"):
            self.raw.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            attributes, before = self.raw[-1]
            self.raw[-1] = (attributes, before + data)
        else:
            self.text += data

    @property
    def json(self) -> dict[str, Any]:
        (block,) = [text for attributes, text in self.raw if attributes.get("type") == "application/json"]
        parsed: dict[str, Any] = json.loads(block)
        return parsed

    @property
    def policy(self) -> str:
        (found,) = [at["content"] for tag, at in self.tags if at.get("http-equiv") == "Content-Security-Policy"]
        assert found
        return found


def committed(folder: Folder, metrics: Mapping[str, dict[str, Any]], tables: Tables) -> dict[str, Committed]:
    """What the stages made: those of STAGES, and whatever else has figures or tables."""
    inputs = {}
    for index, name in enumerate(dict.fromkeys([*STAGES, *metrics, *(stage for stage, _ in tables)])):
        files = [{"name": file, "bytes": 1} for stage, file in tables if stage == name]
        manifest: dict[str, Any] = {"fingerprint": f"{name}-fingerprint", "attempt": "a", "files": files}
        manifest["metrics"] = metrics.get(name, {})
        if metrics:
            manifest["seconds"] = 10.5 * index
        inputs[name] = Committed(folder.child(name), manifest)
    for (stage, file), table in tables.items():
        inputs[stage].data.write_table(file, table)
    return inputs


def make_report(
    root: Path,
    concepts: pa.Table,
    metrics: Mapping[str, dict[str, Any]] = METRICS,
    config: Config | None = None,
    tables: Tables = NO_TABLES,
) -> str:
    """`report.html` for `concepts`, the figures of the stages before, and their `tables`."""
    return make_pages(root, concepts, metrics, config, tables)["report.html"]


def make_pages(
    root: Path,
    concepts: pa.Table,
    metrics: Mapping[str, dict[str, Any]] = METRICS,
    config: Config | None = None,
    tables: Tables = NO_TABLES,
) -> dict[str, str]:
    """All pages that the stage writes, by name."""
    folder = Folder(str(root))
    inputs = committed(folder, metrics, tables)
    inputs["concepts"].data.write_table("concepts.parquet", concepts)
    lease = folder.child("report", "_progress")
    out = Attempt(folder.child("report", "a"), "f", Progress(lease, Lease(lease, 20)))
    figures = write_report(config or Config(name="demo"), inputs, out)
    pages = {path.name: path.read_bytes() for path in (root / "report" / "a").iterdir()}
    assert figures == {
        "rows": concepts.num_rows,
        "pages": len(pages),
        "bytes": sum(len(page) for page in pages.values()),
    }
    return {name: page.decode() for name, page in pages.items()}
