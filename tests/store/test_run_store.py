"""The commit: nothing is seen before the manifest, the first manifest wins, and a night is switched in one put."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from recsae.errors import BadInput
from recsae.schemas import base
from recsae.store.filesystem import Folder
from recsae.store.run_store import Attempt, Committed, RunStore

USERS = pa.table({"user_idx": [0], "user_id": ["u"], "part": ["score"], "events": [3], "attributes": [[]]})


@pytest.fixture(params=["path", "uri"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    root = tmp_path / "a root"
    return RunStore(str(root) if request.param == "path" else root.as_uri(), "run")


def attempt_of(store: RunStore, content: str) -> Attempt:
    attempt = store.attempt("ingest", "f1", store.lease("ingest", "f1", 20))
    attempt.data.put("deep/value.json", f'"{content}"'.encode())
    return attempt


def commit(store: RunStore, attempt: Attempt) -> Committed:
    return store.commit("ingest", attempt, {"metrics": {"rows": 3}, "seconds": 1.0})


def value(committed: Committed) -> object:
    return committed.data.read_json("deep/value.json")


def attempts(store: RunStore) -> list[str]:
    return [path.name for path in Path(store.folder.path).glob("ingest/f1/attempt-*")]


def test_nothing_is_seen_before_the_commit(store: RunStore) -> None:
    assert store.committed("ingest", "f1") is None
    attempt = attempt_of(store, "a")
    assert store.committed("ingest", "f1") is None
    done = commit(store, attempt)
    found = store.committed("ingest", "f1")
    assert found is not None and found.manifest == done.manifest
    assert value(found) == "a"
    assert (found.fingerprint, found.metrics, found.manifest["stage"]) == ("f1", {"rows": 3}, "ingest")
    assert store.committed("ingest", "f2") is None and store.committed("sae", "f1") is None


def test_the_manifest_lists_exactly_the_files_written_and_their_sizes(store: RunStore) -> None:
    attempt = attempt_of(store, "abc")
    attempt.write_table("users.parquet", USERS, base.USERS)
    with attempt.open_parquet("parts/0.parquet", base.USERS) as writer:
        for _ in range(2):
            writer.write_table(base.conform(USERS, base.USERS))
    done = commit(store, attempt)
    on_disk = {
        str(path.relative_to(attempt.data.path)): path.stat().st_size
        for path in Path(attempt.data.path).rglob("*")
        if path.is_file()
    }
    assert {file["name"]: file["bytes"] for file in done.manifest["files"]} == on_disk
    assert done.files() == ["deep/value.json", "parts/0.parquet", "users.parquet"]
    assert done.files("parts/") == ["parts/0.parquet"]
    users = done.read_table("users.parquet")
    assert users.schema.equals(base.USERS) and users.schema.metadata == base.USERS.metadata
    assert done.read_table("parts/0.parquet", ["user_id"]).to_pydict() == {"user_id": ["u", "u"]}


def test_a_stray_file_after_the_commit_is_not_seen(store: RunStore) -> None:
    attempt = attempt_of(store, "a")
    commit(store, attempt)
    attempt.write_table("stray.parquet", USERS, base.USERS)
    found = store.committed("ingest", "f1")
    assert found is not None and found.files() == ["deep/value.json"]
    assert found.manifest["files"] == [{"name": "deep/value.json", "bytes": 3}]


def test_of_two_attempts_one_is_readable_and_the_others_files_are_gone(store: RunStore) -> None:
    first, second = attempt_of(store, "first"), attempt_of(store, "second")
    assert first.data != second.data
    done, late = commit(store, first), commit(store, second)
    assert done.manifest == late.manifest and value(late) == "first"
    assert attempts(store) == [first.data.path.rpartition("/")[2]]


def test_of_many_attempts_at_once_one_is_readable_whole(store: RunStore) -> None:
    made = [attempt_of(store, str(number)) for number in range(6)]
    start = threading.Barrier(len(made))

    def finish(attempt: Attempt) -> Committed:
        start.wait()
        return commit(store, attempt)

    with ThreadPoolExecutor(len(made)) as pool:
        results = list(pool.map(finish, made))
    assert len({result.manifest["attempt"] for result in results}) == 1
    assert attempts(store) == [results[0].manifest["attempt"]]
    winner = next(number for number, attempt in enumerate(made) if attempt.data == results[0].data)
    assert {value(result) for result in results} == {str(winner)}


def test_a_commit_whose_answer_was_lost_keeps_its_files(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store that is asked again after a broken connection says that there is a manifest: our own."""
    put_if_absent = Folder.put_if_absent

    def put_and_lose_the_answer(self: Folder, name: str, content: bytes) -> bool:
        put_if_absent(self, name, content)
        return put_if_absent(self, name, content)

    monkeypatch.setattr(Folder, "put_if_absent", put_and_lose_the_answer)
    assert value(commit(store, attempt_of(store, "a"))) == "a"


def test_discard_deletes_an_attempt_but_never_what_a_manifest_names(store: RunStore) -> None:
    attempt = attempt_of(store, "a")
    done = commit(store, attempt)
    store.discard("ingest", attempt)
    assert value(done) == "a"
    other = attempt_of(store, "b")
    store.discard("ingest", other)
    store.discard("ingest", other)
    assert attempts(store) == [attempt.data.path.rpartition("/")[2]]


def test_an_attempt_that_wrote_nothing_can_be_committed_and_discarded(store: RunStore) -> None:
    store.discard("ingest", store.attempt("ingest", "f1", store.lease("ingest", "f1", 20)))
    done = commit(store, store.attempt("ingest", "f1", store.lease("ingest", "f1", 20)))
    assert done.files() == []


def test_metrics_that_are_no_json_commit_nothing(store: RunStore) -> None:
    attempt = attempt_of(store, "a")
    with pytest.raises(TypeError):
        store.commit("ingest", attempt, {"metrics": {"rows": object()}})
    assert store.committed("ingest", "f1") is None


def test_progress_lies_beside_the_attempts_and_is_no_file_of_them(store: RunStore) -> None:
    lease = store.lease("ingest", "f1", 20)
    assert lease.try_acquire()
    attempt = store.attempt("ingest", "f1", lease)
    attempt.progress.append("rows", USERS)
    assert commit(store, attempt).files() == []
    assert Path(store.folder.path, "ingest/f1/_progress/rows").is_dir()
    lease.release()


def test_a_file_that_is_cut_or_gone_is_named_with_the_mend(store: RunStore) -> None:
    done = commit(store, attempt_of(store, "a"))
    done.refuse_damaged()
    path = Path(done.data.locate("deep/value.json"))
    path.write_text('"')
    with pytest.raises(BadInput, match=r"value\.json has 1 bytes and not 3, as stage ingest .* delete .*f1 and run"):
        done.refuse_damaged()
    path.unlink()
    with pytest.raises(BadInput, match=r"value\.json is gone"):
        done.refuse_damaged()


@pytest.mark.parametrize("spelling", [str, Path.as_uri])
def test_a_root_below_a_file_reads_as_empty_and_cannot_be_written(
    tmp_path: Path, spelling: Callable[[Path], str]
) -> None:
    (tmp_path / "file").write_text("x")
    store = RunStore(spelling(tmp_path / "file/below"), "run")
    assert store.committed("ingest", "f1") is None
    with pytest.raises(BadInput, match=r"store\.root: .* cannot be written") as caught:
        store.check_writable()
    assert "\n" not in str(caught.value)


def test_a_root_without_permission_is_bad_input(closed: Path) -> None:
    store = RunStore(str(closed), "run")
    with pytest.raises(BadInput, match=r"store\.root: .* cannot be read"):
        store.committed("ingest", "f1")
    with pytest.raises(BadInput, match=r"store\.root: .* cannot be written"):
        store.check_writable()


def test_a_root_that_can_be_written_leaves_nothing_that_readers_follow(store: RunStore) -> None:
    store.check_writable()
    assert store.current() is None and [path.name for path in Path(store.folder.path).iterdir()] == [".writable"]


def test_a_relative_root_is_the_same_folder_for_every_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = RunStore("runs", "run")
    done = commit(store, attempt_of(store, "a"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Path(done.data.uri).is_absolute() and value(Committed(Folder(done.folder.uri), done.manifest)) == "a"


@pytest.mark.parametrize("root", ["s3://", "file:///", "/"])
def test_a_root_that_names_no_folder_is_refused(root: str) -> None:
    with pytest.raises(BadInput, match=r"store\.root"):
        RunStore(root, "shop")
