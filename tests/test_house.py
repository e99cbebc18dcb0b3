"""Rules that no linter knows: class names are unique, docstrings name files that exist, jobs hold no logic."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("recsae", "jobs") for path in (REPOSITORY / folder).rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}
FILE = re.compile(r"(?<![\w*…<>{}-])((?:[\w.-]+/)*[A-Za-z_][\w-]*\.(?:py|js|css|j2|html\.j2))\b")
LONGEST = 300
"""Lines of a file."""


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Docstrings of modules, classes and functions, and the strings under fields and constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def test_every_class_has_a_name_of_its_own() -> None:
    homes = defaultdict(list)
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(REPOSITORY)))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_every_file_named_in_a_docstring_exists() -> None:
    folders = ("recsae", "jobs", "tests", "bench", "cluster")
    there = [path.relative_to(REPOSITORY).as_posix() for folder in folders for path in (REPOSITORY / folder).rglob("*")]
    ends = {"/".join(parts[start:]) for parts in (path.split("/") for path in there) for start in range(len(parts))}
    gone = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path, tree in TREES.items()
        for text in docstrings(tree)
        for name in FILE.findall(text)
        if name not in ends
    }
    assert gone == set()


def test_no_file_is_two_things() -> None:
    long = {str(path.relative_to(REPOSITORY)): lines for path in SOURCES if (lines := _lines(path)) > LONGEST}
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("path", sorted((REPOSITORY / "jobs").glob("*.py")), ids=lambda path: path.stem)
def test_a_job_holds_no_logic(path: Path) -> None:
    defined = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.For)]
    assert defined == [] and _lines(path) <= 20
