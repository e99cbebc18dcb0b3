"""The job `show`: the dictionary ordered and searched, one latent, item and user, and one sentence with status 2."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.asking import Asker, served_toml
from tests.lookup import made_night


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_toml(tmp_path_factory.mktemp("show"))


@pytest.fixture
def ask(toml: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker("show", monkeypatch, capsys, "--config", toml)


def latents(out: str) -> list[int]:
    return [int(line.split()[0]) for line in out.splitlines() if re.match(r" *\d+ .*(formula|unexplained) ", line)]


def test_the_dictionary_is_ordered_cut_and_searched(ask: Asker) -> None:
    assert latents(ask()) == [0, 2, 4, 6, 8, 1, 3, 5, 7]
    assert latents(ask("--sort", "f1", "--rows", "3")) == [8, 7, 6]
    assert latents(ask("--sort", "name")) == [2, 7, 4, 5, 1, 6, 3, 0, 8]
    assert latents(ask("--interpretable", "--sort", "latent")) == [0, 2, 4, 6, 8]
    assert latents(ask("--search", "WESTERN")) == [0, 8]
    assert latents(ask("--search", "film 10")) == [2]
    assert "the first 2 of 9 latents, 5 interpretable (✓): 5 formula; 4 unexplained" in ask("--rows", "2")
    assert "0 latents" in ask("--search", "no such words")


def test_a_latent_is_told_whole(ask: Asker) -> None:
    out = ask("--latent", "0")
    for told in (
        "latent 0  Western ×2  ✓ formula",
        "also proposed Other 0",
        "statement, all cases   0.90 [0.80, 0.95]       0.50",
        "statement     recommends Western",
        "model judged  Western (terms, smollm2-135m, prompts 1)",
        "genres: Noir",
        "near direction",
        "of all items",
        "Film 16 i16  48",
    ):
        assert told in out
    turned = ask("--latent", "2")
    assert "when it is steered" in turned and "when it is steered" not in out
    row = next(line for line in turned.splitlines() if "add 0.25" in line)
    assert row.split()[2:7] == ["40.0", "%", "+20.0", "[+19.0,", "+21.5]"]
    level = next(line for line in out.splitlines() if line.split()[:1] == ["9"])
    assert level.split()[1:5] == ["20", "18", "90.0", "%"]


def test_an_item_and_a_user_are_told(ask: Asker) -> None:
    out = ask("--item", "Film 09")
    assert "91 training events" in out and "Noir" in out and "×8.0" in out
    out = ask("--user", "user-05")
    assert "country" in out and "Film 39 i39  test" in out and "ranked first" in out


def test_untrusted_text_cannot_command_the_terminal(ask: Asker) -> None:
    for options in (("--latent", "0"), ("--item", "i00"), ("--user", "user-00")):
        out = ask(*options)
        assert "</script>" in out and not {"\x1b", "\u202e"} & set(out)


def test_for_machines_each_is_one_json_value(ask: Asker) -> None:
    assert [row["latent"] for row in json.loads(ask("--json", "--rows", "2"))] == [0, 2]
    assert json.loads(ask("--latent", "1", "--json"))["concept"]["name"] == "Noir"
    assert json.loads(ask("--item", "i09", "--json"))["item"]["title"] == "Film 09"
    assert len(json.loads(ask("--user", "user-05", "--json"))["events"]) == made_night.EVENTS


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--latent", "noir"), "similar names: 1 (Noir)"),
        (("--latent", "1\x1b[2J"), "give a latent's number"),
        (("--item", "none"), "no such item"),
        (("--user", "none"), "no such user"),
        (("--rows", "0"), "--rows 0 shows none"),
        (("--rows", "x"), "'x' is not a valid integer"),
        (("--latent", "1", "--item", "i00"), "not allowed with"),
        (("--latent", "1", "--sort", "f1"), "--sort is for the dictionary"),
        (("--sort", "luck"), "'luck' is not one of 'surest', "),
        (("--set", "name=other"), "no night is served yet"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(ask: Asker, options: tuple[str, ...], told: str) -> None:
    said = ask(*options, status=2)
    assert told in said and "\x1b" not in said
