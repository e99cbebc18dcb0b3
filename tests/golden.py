"""Does a refactoring leave every result as it was? Run this before and after each of its steps:

    python tests/golden.py run FOLDER              # makes a store, tells fingerprints, writes FOLDER/golden.json
    python tests/golden.py compare A.json B.json   # what differs; exit status 1 where anything does
    python tests/golden.py resume FOLDER           # the store of an earlier version must be taken as it is, or 1

`run` makes a planted catalogue and, by `python -m jobs.nightly` with the embedded language model through real vLLM,
one run without `[nights]` and three nights of another. `golden.json` holds each fingerprint, and a sha256 for each
column of a table, file of tensors and key of a JSON file (manifests and the records of nights among them); and of a
page for each script, block of data and style, and for the rest. Tables are hashed by their values: how Parquet is
written makes no difference. `resume` goes through the same jobs in a copy of the store that has forgotten its nights:
every stage must be skipped, and the nights must become the same again.

Left out is what two runs of one code differ in, and what is hashed anyway:

- how long anything took, and rates (`*seconds*`, `*_per_second`; on a page the time and hours of stages),
- memory and machines (`peak_bytes`, `machines`),
- the bytes of files: a page that says `9.9 s` is shorter than one that says `10.0 s`,
- when a stage was committed and a night began, the ids of attempts, and the path of FOLDER in names of files,
- a page's own hashes of its scripts and style.

Nothing is rounded: with one engine in float32 two runs on one machine agree to the last bit; two machines may not.
The configs' paths are relative to FOLDER, so that its place is no part of a fingerprint. The store is read by its
manifests, and nothing of recsae is imported, whose modules may move.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from planted import write_planted  # beside this script

REPOSITORY = Path(__file__).resolve().parents[1]
LINE = """
cases = { max_per_user = 20 }
recommender = { width = 32, max_length = 20, blocks = 1, epochs = 8, batch_size = 32, negatives = 0 }
sae = { num_latents = 16, k = 3, steps = 300, batch_size = 1024, dead_after = 50_000, checkpoints = 2 }
evidence = { top = 16, level = 2, random = 16, popularity = 16 }
llm = { dtype = "float32" }
labels = { cases = 5, candidates = 5 }
scores = { select_cases = 8, score_cases = 12, bootstrap = 200, recsae = 4 }
steering = { strengths = [-0.25, 0.25], directions = 20, users = 100 }
resources = { llm_actors = 1 }
[data]
interactions = ["data/interactions.parquet"]
items = ["data/items.parquet"]
attributes = { genres = "" }
"""
GATE = "{ interpretable_share = 0, fvu = 10, dead_share = 1, ranking_loss = 1, ranking_fall = 1, drift = 1 }"
CONFIGS = {"line": LINE, "nights": f"nights = {{ epochs = 2, steps = 100, gate = {GATE} }}{LINE}"}
JOBS = (("line", "1.0"), ("nights", "0.8"), ("nights", "0.9"), ("nights", "1.0"))
"""A config, and the share of every user's events that has happened."""

CHANGING = re.compile(r"seconds|_per_second$|^(peak_)?bytes$|^machines$")
"""Keys of JSON."""
MASKS = (
    (re.compile(r"attempt-[0-9a-f]{12}"), "attempt"),
    (re.compile(r"\d{8}T\d{6}-\d{9}Z"), "time"),
    (re.compile(r"""[^\s"'<>]*/store/"""), "store/"),
    (re.compile(r'(data-label="(?:Time|CPU-hours|GPU-hours)">)[^<]*'), r"\1"),
    (re.compile(r"sha256-[A-Za-z0-9+/=]+"), "hash"),
)
BLOCK = re.compile(r"<(script|style)\b.*?</\1>", re.DOTALL)


def run_jobs(folder: Path) -> None:
    """All jobs, one after another, into `store` below the folder; where one fails its log is shown."""
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0"}
    for number, (name, oldest) in enumerate(JOBS, 1):
        (folder / f"{name}.toml").write_text(f'name = "{name}"\nstore = {{ root = "store" }}\n{CONFIGS[name]}')
        command = [sys.executable, "-m", "jobs.nightly", "--config", f"{name}.toml", "--set", f"data.oldest={oldest}"]
        with (folder / f"{number}-{name}.log").open("w+") as log:
            if subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log).returncode:
                log.seek(0)
                sys.exit(f"{log.read()}\n{name} at {oldest} failed")


def digests(store: Path) -> dict[str, str]:
    """Fingerprints and checksums of all that the nights of all runs name, by where it is."""
    found: dict[str, str] = {}
    for run in sorted(path for path in store.iterdir() if path.is_dir()):
        nights = sorted(map(read_json, (run / "nights").glob("*.json")), key=lambda night: night["number"])
        found |= {f"{run.name} served: {key}": told for key, told in of_json(read_json(run / "current.json"))}
        for night in nights:
            found |= {f"{run.name} {night['number']}: {key}": told for key, told in of_json(night)}
            folders = [run / stage / fingerprint for stage, fingerprint in night["fingerprints"].items()]
            for made in sorted(folders, key=lambda folder: str(read_json(folder / "_manifest.json")["committed_at"])):
                stage = f"{run.name} {night['number']}: {made.parent.name}"
                found |= {f"{stage}: {what}": told for what, told in of_stage(made)}
    return found


def of_stage(folder: Path) -> Iterator[tuple[str, str]]:
    manifest = read_json(folder / "_manifest.json")
    yield "fingerprint", folder.name
    yield from ((f"metric: {key}", told) for key, told in of_json(manifest["metrics"]))
    yield from ((f"manifest: {key}", told) for key, told in of_json(manifest) if key != "metrics")
    for name in (file["name"] for file in manifest["files"]):
        yield from ((f"{name}: {part}", told) for part, told in of_file(folder / manifest["attempt"] / name))


def of_file(path: Path) -> Iterator[tuple[str, str]]:
    """The parts of a file, by what kind it is."""
    if path.suffix in (".parquet", ".arrow"):
        table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_stream(path.read_bytes()).read_all()
        yield "metadata", sha256(str(table.schema.metadata))
        for field, column in zip(table.schema, table.columns, strict=True):
            yield field.name, sha256(f"{field} {json.dumps(column.to_pylist(), default=repr)}")
    elif path.suffix == ".html":
        page = path.read_text()
        yield from ((f"{block[1]} {number}", sha256(block[0])) for number, block in enumerate(BLOCK.finditer(page), 1))
        yield "rest", sha256(BLOCK.sub("", page))
    elif path.suffix == ".json":
        yield from of_json(read_json(path))
    else:
        yield "bytes", hashlib.sha256(path.read_bytes()).hexdigest()


def of_json(value: Any) -> Iterator[tuple[str, str]]:
    for key, part in without_changing(value if isinstance(value, dict) else {"all": value}).items():
        yield key, sha256(json.dumps(part, sort_keys=True))


def without_changing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_changing(part) for key, part in value.items() if not CHANGING.search(key)}
    return [without_changing(part) for part in value] if isinstance(value, list) else value


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def sha256(text: str) -> str:
    """Of what is left when all that changes is masked."""
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """A line for each, in the order of nights and stages: the first is the cause of those after it."""
    said = {True: "differs", False: "only in the first"}
    found = [f"{said[key in other]}: {key}" for key, told in one.items() if other.get(key) != told]
    return found + [f"only in the second: {key}" for key in other if key not in one]


def resume(folder: Path) -> list[str]:
    """What is not as it was once all jobs have gone over a copy of the store that knows its stages and no night."""
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        kept, copy = folder / "store", Path(name, "store")
        shutil.copytree(folder / "data", Path(name, "data"))
        shutil.copytree(kept, copy)
        for run in copy.iterdir():
            (run / "current.json").unlink()
            shutil.rmtree(run / "nights")
        run_jobs(Path(name))
        before, after = ({path.relative_to(store) for path in store.glob("*/*/*/attempt-*")} for store in (kept, copy))
        executed = [f"executed: {attempt}" for attempt in sorted(after - before)]
        return executed + differences(digests(kept), digests(copy))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "compare", "resume"])
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    given = parser.parse_args()
    paths = [path.resolve() for path in given.paths]
    if len(paths) != (2 if given.command == "compare" else 1):
        parser.error("compare takes two files, run and resume a folder")
    if given.command != "run":
        found = resume(*paths) if given.command == "resume" else differences(*map(read_json, paths))
        print("\n".join(found) or "equal")
        sys.exit(bool(found))
    store = paths[0] / "store"
    if store.exists():
        parser.error(f"{store} is there already; give another folder")
    write_planted(paths[0] / "data", n_users=200, n_concepts=6, items_per_concept=20)
    run_jobs(paths[0])
    (paths[0] / "golden.json").write_text(json.dumps(made := digests(store), indent=1))
    print("\n".join(f"{what} {told}" for what, told in made.items() if re.search(r"\d: \w+: fingerprint$", what)))


if __name__ == "__main__":
    main()
