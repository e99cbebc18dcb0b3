"""Nights: recorded once, served in one put if they passed, forgotten in order, whatever the clock says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsae.store.filesystem import Folder
from recsae.store.nights import Night, Nights, relocated

FAILED = ({"key": "fvu", "value": 2.0, "limit": 0.5, "passed": False},)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["path", "uri"])
def nights(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Nights:
    root = tmp_path / "a root"
    return Nights(Folder(str(root) if request.param == "path" else root.as_uri()), clock)


def made(fingerprint: str, *checks: Any, **others: str) -> Night:
    return Night({"concepts": fingerprint, **others}, f"d-{fingerprint}", f"r-{fingerprint}", tuple(checks))


def files(nights: Nights) -> list[str]:
    return [name for name in nights.folder.list("nights") if name.endswith(".json")]


def test_a_night_is_recorded_and_served(nights: Nights, clock: Clock) -> None:
    assert nights.current() is None and nights.all() == []
    monday = nights.close(made("f1"))
    assert nights.current() == monday
    assert (monday["dictionary"], monday["report"], monday["fingerprints"]) == ("d-f1", "r-f1", {"concepts": "f1"})
    assert (monday["number"], monday["before"], monday["served"]) == (1, None, True)
    clock.now += 86_400
    tuesday = nights.close(made("f2"))
    assert nights.current() == tuesday
    assert (tuesday["number"], tuesday["before"]) == (2, monday["night"])
    assert nights.all() == [monday, tuesday]
    assert files(nights) == [f"nights/{night['night']}.json" for night in (monday, tuesday)]


def test_files_of_a_moved_store_are_named_where_they_lie_now(tmp_path: Path) -> None:
    before, now = Folder(str(tmp_path / "before/shop")), tmp_path / "now/shop"
    files = ("concepts", "f1", "attempt-1", "concepts.parquet"), ("report", "f2", "attempt-2", "report.html")
    dictionary, report = (before.child(*file).uri for file in files)
    Nights(before).close(Night({"concepts": "f1", "report": "f2"}, dictionary, report))
    Path(before.path).parent.rename(now.parent)
    current = Nights(Folder(str(now))).current()
    assert current is not None
    assert current["dictionary"] == str(now / "concepts/f1/attempt-1/concepts.parquet")
    assert current["report"] == str(now / "report/f2/attempt-2/report.html")


def test_only_files_of_a_record_s_own_stages_are_relocated(nights: Nights) -> None:
    elsewhere = "/elsewhere/concepts/f9/attempt-1/concepts.parquet"
    for fingerprints in ({"concepts": "f1"}, None):
        record = {"dictionary": elsewhere, "report": "report.html", "fingerprints": fingerprints}
        assert relocated(record, nights.folder) == record


def test_the_same_night_again_changes_nothing(nights: Nights) -> None:
    first = nights.close(made("f1"))
    before = Path(nights.folder.path, "current.json").stat().st_mtime_ns
    assert nights.close(made("f1")) == first
    assert Path(nights.folder.path, "current.json").stat().st_mtime_ns == before
    assert len(files(nights)) == 1


def test_an_earlier_night_can_be_served_again(nights: Nights, clock: Clock) -> None:
    for fingerprint in ("f1", "f2", "f1"):
        clock.now += 1
        nights.close(made(fingerprint))
    current = nights.current()
    assert current is not None and current["fingerprints"] == {"concepts": "f1"}
    assert len(files(nights)) == 3


def test_a_night_that_failed_is_marked_once_and_what_was_served_stays(nights: Nights, clock: Clock) -> None:
    monday = nights.close(made("f1"))
    clock.now += 1
    tuesday = nights.close(made("f2", *FAILED))
    assert not tuesday["served"] and tuesday["checks"] == list(FAILED)
    assert nights.current() == monday
    clock.now += 1
    assert nights.close(made("f2", *FAILED)) == tuesday and nights.all() == [monday, tuesday]
    clock.now += 1
    opened = nights.close(made("f2"))
    assert opened["served"] and nights.current() == opened


def test_what_is_served_stays_when_a_night_fails_before_the_switch(
    nights: Nights, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monday = nights.close(made("f1"))
    clock.now += 1
    put = Folder.put

    def fail_at_the_switch(self: Folder, name: str, content: bytes) -> None:
        if name == "current.json":
            raise OSError("the store is away")
        put(self, name, content)

    monkeypatch.setattr(Folder, "put", fail_at_the_switch)
    with pytest.raises(OSError, match="away"):
        nights.close(made("f2"))
    assert nights.current() == monday


def commit(nights: Nights, *fingerprints: str, stage: str = "concepts") -> None:
    for fingerprint in fingerprints:
        folder = nights.folder.child(stage, fingerprint)
        folder.put("attempt-1/table.parquet", b"rows")
        folder.put("_manifest.json", b"{}")


def there(nights: Nights, stage: str = "concepts") -> list[str]:
    return sorted(path.parent.name for path in Path(nights.folder.path, stage).glob("*/_manifest.json"))


def test_retention_deletes_what_only_old_nights_need(nights: Nights, clock: Clock) -> None:
    commit(nights, "f1", "f2", "f3", "f4", "experiment")
    commit(nights, "shared", "old", stage="ingest")
    for fingerprint, ingest in (("f1", "old"), ("f2", "shared"), ("f3", "shared"), ("f4", "shared")):
        clock.now += 1
        nights.close(made(fingerprint, ingest=ingest))
    assert nights.retire(2) == 2
    assert there(nights) == ["experiment", "f3", "f4"] and there(nights, "ingest") == ["shared"]
    assert not Path(nights.folder.path, "concepts/f1").exists()
    assert [night["fingerprints"]["concepts"] for night in nights.all()] == ["f3", "f4"]
    assert nights.retire(2) == 0


def test_the_served_night_is_never_deleted_however_many_failed_after_it(nights: Nights, clock: Clock) -> None:
    commit(nights, "f1", "f2", "f3", "f4")
    served = nights.close(made("f1"))
    for fingerprint in ("f2", "f3", "f4"):
        clock.now += 1
        nights.close(made(fingerprint, *FAILED))
    nights.retire(1)
    assert there(nights) == ["f1", "f4"] and nights.current() == served
    assert served in nights.all()


def test_a_clock_that_jumps_back_does_not_make_the_newest_night_the_oldest(nights: Nights, clock: Clock) -> None:
    commit(nights, "f1", "f2", "f3")
    nights.close(made("f1"))
    clock.now -= 10 * 86_400
    nights.close(made("f2"))
    clock.now += 86_400
    last = nights.close(made("f3"))
    assert [night["fingerprints"]["concepts"] for night in nights.all()] == ["f1", "f2", "f3"]
    assert nights.current() == last
    nights.retire(2)
    assert there(nights) == ["f2", "f3"]


def test_a_half_deleted_night_is_not_taken_for_a_whole_one(
    nights: Nights, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(nights, "f1", "f2")
    nights.close(made("f1"))
    clock.now += 1
    nights.close(made("f2"))
    delete = Folder.delete

    def be_killed(self: Folder) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "delete", be_killed)
    with pytest.raises(KeyboardInterrupt):
        nights.retire(1)
    assert there(nights) == ["f2"] and len(nights.all()) == 2
    monkeypatch.setattr(Folder, "delete", delete)
    assert nights.retire(1) == 1
    assert not Path(nights.folder.path, "concepts/f1").exists() and len(nights.all()) == 1
