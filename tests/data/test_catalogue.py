"""The catalogue as later stages read it, and the one-line description of an item."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recsae.data.catalogue import TEXT_LIMIT, Catalogue
from tests.data.conftest import Ingest
from tests.planted import write_planted


def catalogue(title: str, attributes: dict[str, list[str]]) -> Catalogue:
    return Catalogue(["1"], [title], [attributes], np.zeros(1, dtype=np.int64))


def test_text() -> None:
    assert catalogue("Alien", {}).text(0) == "Alien"
    shown = catalogue("Alien", {"genres": ["Horror", "Sci-Fi"], "tags": ["space"]}).text(0)
    assert shown == "Alien (genres: Horror, Sci-Fi; tags: space)"


def test_text_is_bounded() -> None:
    long = catalogue("A" * 150, {"tags": ["word"] * 50}).text(0)
    assert len(long) <= TEXT_LIMIT
    assert long.endswith("word)")
    assert catalogue("A" * 300, {"tags": ["word"]}).text(0) == "A" * TEXT_LIMIT


def test_read(tmp_path: Path, run: Ingest) -> None:
    write_planted(tmp_path / "planted", n_users=60)
    folder = tmp_path / "planted"
    done = run(
        data={
            "interactions": [str(folder / "interactions.parquet")],
            "items": [str(folder / "items.parquet")],
            "attributes": {"genres": ""},
        }
    )
    found = Catalogue.read(done)
    assert found.n_items == done.metrics["items"]
    assert (found.ids[3], found.titles[3]) == ("item-0003", "Film 0003")
    assert found.attributes[3] == {"genres": ["Animation"]}
    assert found.popularity.sum() == done.metrics["events_by_split"]["train"]
