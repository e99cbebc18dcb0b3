"""How tests ask a job of the made night: its config, and what it prints or refuses in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lookup import made_night


def served_toml(folder: Path) -> Path:
    """A config whose run serves the made night."""
    made_night.serve(made_night.config_at(folder / "runs"))
    toml = folder / "shop.toml"
    toml.write_text(f'name = "shop"\n[store]\nroot = "{folder / "runs"}"\n')
    return toml


class Asker:
    """A job's `main` with options before those of each call."""

    def __init__(
        self,
        main: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *before: object,
    ) -> None:
        self._main, self._monkeypatch, self._capsys, self._before = main, monkeypatch, capsys, before

    def __call__(self, *options: object, status: int = 0) -> str:
        """What the job prints, or, where it is refused, the one sentence of it."""
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
