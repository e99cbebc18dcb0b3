"""The command `recsae`: its table, what does not parse, completion, and how little the quick commands import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from recsae.cli.main import COMMANDS, TABLE, main
from recsae.pipeline.stages import STAGES
from tests.cli.asking import served_toml

REPOSITORY = Path(__file__).parents[2]
HEAVY = {"torch", "ray", "numba", "vllm", "scipy", "duckdb"}
IMPORTS = """
import json, sys
from recsae.cli.main import main
sys.argv = ["recsae", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert ended.code in (0, None, 2), ended.code
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["recsae", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == "" and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there_and_says_what_it_does(name: str) -> None:
    with click.Context(TABLE) as context:
        command = TABLE.get_command(context, name)
    assert command is not None and command.name == name and command.help and COMMANDS[name][1].endswith(".")


def test_the_readme_lists_the_commands_of_the_table() -> None:
    section = (REPOSITORY / "README.md").read_text().partition("## The command line")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z]+)[ `]", section.partition("| --- |")[2], re.MULTILINE)
    assert list(dict.fromkeys(rows)) == list(COMMANDS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shw"], "recsae: no such command 'shw'; see `recsae --help`\n"),
        (
            ["run", "--confi"],
            "recsae: no such option '--confi'; did you mean '--config'; see `recsae run --help`\n",
        ),
        (["run", "--config"], "recsae: option '--config' requires an argument; see `recsae --help`\n"),
        (["stage"], "recsae: missing argument 'NAME'; see `recsae stage --help`\n"),
        (["submit"], "recsae: missing option '--config'; see `recsae submit --help`\n"),
        (["show", "x"], "recsae: got unexpected extra argument (x); see `recsae show --help`\n"),
        (["show", "x\x1b[2J"], "recsae: got unexpected extra argument (x [2J); see `recsae show --help`\n"),
        (["survey", "scor"], "recsae: no such command 'scor'; did you mean 'score'; see `recsae survey --help`\n"),
    ],
)
def test_what_does_not_parse_ends_in_one_sentence_and_status_2(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(monkeypatch, capsys, *words) == said


def test_a_stage_that_is_none_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"sea is not one of {', '.join(STAGES)}" in refusal(monkeypatch, capsys, "stage", "sea")


def test_a_job_is_the_command_with_the_same_options() -> None:
    command = [sys.executable, "-m", "jobs.recommend", "--config", "jobs/configs/demo.toml", "--k", "ten", "--to", "x"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "recsae: invalid value for '--k': 'ten' is not a valid integer; see `recsae recommend --help`\n"
    )


def completed(*words: str) -> list[str]:
    """What the shell is offered for the last word."""
    environment = {"_RECSAE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["recsae", *words])}
    done = subprocess.run(
        [sys.executable, "-c", "from recsae.cli.main import main; main()"],
        cwd=REPOSITORY,
        env={**os.environ, **environment, "COMP_CWORD": str(len(words))},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.slow
def test_the_shell_completes_commands_stages_options_and_files() -> None:
    assert completed("s") == [f"plain,{name}" for name in COMMANDS if name.startswith("s")]
    assert completed("stage", "s") == [f"plain,{name}" for name in STAGES if name.startswith("s")]
    assert completed("show", "--lat") == ["plain,--latent"]
    assert completed("run", "--config", "jobs/") == ["file,jobs/"]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["explain", "--help"],
        ["version"],
        ["config", "check"],
        ["config", "show", "--json"],
        ["config", "schema"],
        ["run", "--set", "sae.num_latent=8"],
        ["run", "--config", "missing.toml"],
        ["explain", "--user", "1", "--set", "sae.num_latent=8"],
        ["recommend", "--to", "x.parquet", "--set", "sae.num_latent=8"],
        ["tune", "--balance", "popularity", "--to", "x.json", "--set", "sae.num_latent=8"],
    ],
    ids=" ".join,
)
def test_what_needs_no_store_imports_nothing_heavy(words: list[str]) -> None:
    assert not imported(*words) & (HEAVY | {"pandas", "rich", "jinja2"})


@pytest.mark.parametrize("words", [["status"], ["show"], ["show", "--item", "i09"], ["show", "--latent", "2"]])
def test_what_reads_the_store_alone_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    """pyarrow imports pandas by itself where it makes a scalar."""
    assert not imported(*words, "--config", str(served_toml(tmp_path))) & HEAVY


def imported(*words: str) -> set[str]:
    """Top-level packages that a process has imported when the command ends."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 2), done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))
