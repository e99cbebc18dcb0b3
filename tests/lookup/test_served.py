"""Which night is read, and the messages where it is incomplete."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsae.errors import BadInput
from recsae.lookup.dictionary import search
from recsae.lookup.served import served
from recsae.store.run_store import RunStore
from tests.lookup import made_night


def test_without_a_night_the_error_names_the_command(tmp_path: Path) -> None:
    config = made_night.config_at(tmp_path)
    with pytest.raises(BadInput, match=r"no night is served yet; run `recsae run`"):
        served(config)
    RunStore(str(tmp_path), "shop").folder.put("current.json", b"{")
    with pytest.raises(BadInput, match=r"current.json is not whole"):
        served(config)


def test_a_night_that_is_not_served_is_not_read(tmp_path: Path) -> None:
    config = made_night.config_at(tmp_path)
    first = made_night.serve(config, "1")
    made_night.serve(config, "2", passed=False)
    assert served(config).record["night"] == first["night"]


def test_missing_and_damaged_files_are_errors(tmp_path: Path) -> None:
    config = made_night.config_at(tmp_path)
    made_night.serve(config)
    table = next(tmp_path.glob("shop/concepts/concepts-1/attempt-*/concepts.parquet"))
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"concepts.parquet cannot be read.*`recsae status`"):
        search(served(config), "surest", "", interpretable=False)
    (tmp_path / "shop/evidence/evidence-1/_manifest.json").unlink()
    with pytest.raises(BadInput, match="evidence of the served night is gone"):
        served(config)
