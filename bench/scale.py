"""The whole pipeline on a large synthetic catalogue, and with a tenth of the users: time, rows, memory, bytes.

    python bench/scale.py FOLDER [--users 1000000] [--items 1000000] [--events 10000000] [--sizes tenth whole]
        [--config jobs/configs/industry.toml] [--set a.b=c …]

Every stage of recsae.pipeline.runner runs as `python -m jobs.<stage>` in a process of its own, one after the other,
without stand-ins. Memory is the peak of the job's process and all its descendants together (proportional set size, so
that shared pages count once; sampled about once per second). Core-seconds depend little on other work on the machine.
Data, runs, logs and `scale.json` go to FOLDER; a stage that was measured there and is still committed is not measured
again. Prints a table of both sizes, the ratios of the whole to the tenth, and the sample sizes of stages that sample.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.pipeline.runner import STAGES, Pipeline
from recsae.store.run_store import Committed

SIZES = {"tenth": 10, "whole": 1}
RATIOS = ("rows", "seconds", "core_seconds", "peak_bytes", "bytes_written")
SAMPLED = (
    ("ranking.users", "recommender and sae rank the held-out events of so many users"),
    ("sae.steps", "sae trains on so many batches"),
    ("labels.latents", "labels, scores and steering are of so many latents"),
    ("statistics.null_cases", "statistics draws the null of the best latent from so many cases"),
    ("scores.recsae", "scores asks RecSAE's protocol of so many latents"),
    ("steering.users", "steering turns latents for so many users of each part"),
)
# The unit of a stage's rows, and their number from the committed metrics.
ROWS: dict[str, tuple[str, Callable[[Mapping[str, Committed]], int]]] = {
    "ingest": ("events", lambda made: made["ingest"].metrics["read"]),
    "recommender": (
        "targets trained",
        lambda made: sum(epoch["targets"] for epoch in made["recommender"].metrics["history"]),
    ),
    "activations": ("cases", lambda made: made["activations"].metrics["cases"]),
    "sae": ("cases", lambda made: made["activations"].metrics["cases"]),
    "matching": ("latents", lambda made: made["matching"].metrics["latents"]),
    "evidence": ("cases", lambda made: made["activations"].metrics["cases"]),
    "statistics": ("cases", lambda made: made["activations"].metrics["cases"]),
    "statements": ("cases", lambda made: made["activations"].metrics["cases"]),
    "labels": ("prompts", lambda made: made["labels"].metrics["requests"]),
    "scores": ("prompts", lambda made: made["scores"].metrics["prompts"]),
    "steering": ("nudged cases", lambda made: _nudged(made["steering"].metrics)),
    "concepts": ("latents", lambda made: made["concepts"].metrics["latents"]),
    "report": ("latents", lambda made: made["concepts"].metrics["latents"]),
}


def _nudged(metrics: Mapping[str, Any]) -> int:
    return int(metrics.get("nudges", 0) * sum(metrics.get("cases", {}).values()))


def run(command: list[str], log_path: Path) -> dict[str, float]:
    """Seconds, core-seconds and peak memory in bytes of a job. Exits if the job fails."""
    log_path.parent.mkdir(exist_ok=True)
    start, watched = time.monotonic(), Watched()
    with (
        log_path.open("w") as log,
        subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=subprocess.STDOUT) as job,
    ):
        try:
            while job.poll() is None:
                watched.look(job.pid)
                time.sleep(1)
        except BaseException:
            job.terminate()
            raise
    if job.returncode:
        sys.exit(f"python -m {' '.join(command)} ended with {job.returncode}; see {log_path}")
    return {
        "seconds": time.monotonic() - start,
        "core_seconds": sum(watched.worked.values()),
        "peak_bytes": watched.peak,
    }


class Watched:
    """CPU time and peak memory of a process and its descendants, from samples."""

    def __init__(self) -> None:
        self.worked: dict[tuple[int, float], float] = {}
        """Core-seconds of each process in its last sample."""
        self.peak = 0

    def look(self, pid: int) -> None:
        held = 0
        for process in _tree(pid):
            with contextlib.suppress(psutil.Error):  # it ended
                times = process.cpu_times()
                self.worked[process.pid, process.create_time()] = times.user + times.system
                held += process.memory_full_info().pss
        self.peak = max(self.peak, held)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def plant(folder: Path, arguments: argparse.Namespace, size: str) -> dict[str, Any]:
    users, events = arguments.users // SIZES[size], arguments.events // SIZES[size]
    counts = ["--users", str(users), "--items", str(arguments.items), "--events", str(events)]
    measured = run(["jobs.plant", "--to", str(folder), *counts], arguments.folder / "logs" / f"{size}-plant.log")
    return {
        "size": size,
        "stage": "plant",
        "of": "events",
        "rows": events,
        **measured,
        "bytes_written": bytes_of(folder),
    }


def stage(name: str, size: str, config: Config, options: list[str], logs: Path) -> dict[str, Any]:
    measured = run([f"jobs.{name}", *options], logs / f"{size}-{name}.log")
    pipeline = Pipeline(config)
    made = {**pipeline.inputs(name), name: pipeline.committed(name)}
    if "activations" in STAGES[name].inputs or name in ("labels", "scores"):
        made["activations"] = pipeline.committed("activations")
    unit, rows = ROWS[name]
    committed = made[name]
    return {
        "size": size,
        "stage": name,
        "of": unit,
        "rows": rows(made),
        **measured,
        "stage_seconds": committed.manifest["seconds"],
        "bytes_written": sum(file["bytes"] for file in committed.manifest["files"]),
        "fingerprint": committed.fingerprint,
        "metrics": committed.metrics,
    }


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(size: str, arguments: argparse.Namespace, measured_rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measure all stages of one size; each is written to `scale.json` as soon as it ends."""
    data, to = arguments.folder / f"data-{size}", arguments.folder / "scale.json"
    found = {(row["size"], row["stage"]): row for row in measured_rows}
    if (size, "plant") not in found or not data.exists():
        found[size, "plant"] = plant(data, arguments, size)
    print(line(found[size, "plant"]), flush=True)
    overrides = [
        f"name=industry-{size}",
        f"store.root={arguments.folder / 'runs'}",
        f'data.interactions=["{data}/interactions.parquet"]',
        f'data.items=["{data}/items.parquet"]',
        *arguments.set,
    ]
    config = load(str(arguments.config), overrides)
    options = ["--config", str(arguments.config), *(word for one in overrides for word in ("--set", one))]
    for name in STAGES:
        pipeline = Pipeline(config)
        known, done = found.get((size, name)), pipeline.committed(name)
        if known is None or done is None or known["fingerprint"] != done.fingerprint:
            if done is not None:
                sys.exit(f"{name} is committed already and was not measured; delete {done.folder.path}")
            # Otherwise the stage would resume from an interrupted attempt, and that part would not be measured.
            shutil.rmtree(arguments.folder / "runs" / config.name / name / pipeline.fingerprint(name), True)
            found[size, name] = stage(name, size, config, options, arguments.folder / "logs")
            to.write_text(json.dumps(list(found.values()), indent=1))
        print(line(found[size, name]), flush=True)
    return list(found.values())


def line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['size']:6} {row['stage']:12} {row['seconds']:9.1f} {row['core_seconds']:9.1f} "
        f"{row['rows']:12,} {row['of']:16} "
        f"{row['rows'] / row['seconds']:11,.0f} {row['peak_bytes'] / 2**30:9.2f} {row['bytes_written'] / 2**20:10,.1f}"
    )


def ratios(rows: list[dict[str, Any]]) -> list[str]:
    found = {(row["size"], row["stage"]): row for row in rows}
    lines = []
    for name in ("plant", *STAGES):
        small, large = found.get(("tenth", name)), found.get(("whole", name))
        if small and large:
            of = [large[key] / max(small[key], 1e-9) for key in RATIOS]
            lines.append(f"{name:12}" + "".join(f"{ratio:9.2f}" for ratio in of))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=lambda given: Path(given).resolve())
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--config", type=Path, default=Path("jobs/configs/industry.toml"))
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    arguments = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    to = arguments.folder / "scale.json"
    rows: list[dict[str, Any]] = json.loads(to.read_text()) if to.exists() else []
    print(
        f"{'size':6} {'stage':12} {'seconds':>9} {'rows':>12} {'of':16} {'rows/s':>11} {'peak GiB':>9} {'MiB out':>10}"
    )
    for size in arguments.sizes:
        rows = measure(size, arguments, rows)
    print(f"\nwhole over tenth\n{'stage':12}{'rows':>9}{'seconds':>9}{'core s':>9}{'memory':>9}{'bytes':>9}")
    print("\n".join(ratios(rows)))
    config = load(str(arguments.config), arguments.set)
    print("\nslices")
    for key, what in SAMPLED:
        section, name = key.split(".")
        print(f"{key} = {getattr(getattr(config, section), name):,}: {what}")


if __name__ == "__main__":
    main()
