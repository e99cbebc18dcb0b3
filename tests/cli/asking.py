"""How tests run a command on the made night: its config, and what it prints or refuses in one sentence."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from recsae.cli.main import main
from tests.lookup import made_night


def served_toml(folder: Path) -> Path:
    """A config whose run serves the made night."""
    made_night.serve(made_night.config_at(folder / "runs"))
    toml = folder / "shop.toml"
    toml.write_text(f'name = "shop"\n[store]\nroot = "{folder / "runs"}"\n')
    return toml


class Asker:
    """A command with options before those of each call."""

    def __init__(
        self,
        command: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *before: object,
    ) -> None:
        self._main, self._before = partial(main, [command]), before
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *options: object, status: int = 0) -> str:
        """What the command prints, or, where it is refused, the one sentence of it."""
        self._monkeypatch.setattr(sys, "argv", ["job", *map(str, (*self._before, *options))])
        if not status:
            self._main()
            return self._capsys.readouterr().out
        with pytest.raises(SystemExit) as caught:
            self._main()
        said = self._capsys.readouterr()
        assert caught.value.code == status and said.out == ""
        assert said.err.startswith("recsae: ") and said.err.count("\n") == 1
        return said.err
