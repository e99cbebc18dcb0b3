"""Folders: whole puts, the first wins, listings without half-written files, and names as people have them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsae.errors import BadInput
from recsae.store.filesystem import Folder, _object_store, as_json, finite

NAMES = ["plain", "two words", "ümläut", "100%", "a%20b", "what?", "hash#1", "br[0]"]
SPELLINGS: dict[str, Callable[[Path], str]] = {"path": str, "uri": Path.as_uri}


@pytest.fixture(params=SPELLINGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder(SPELLINGS[request.param](tmp_path / "store"))


def test_put_replaces_and_put_if_absent_does_not(folder: Folder) -> None:
    assert folder.put_if_absent("deep/er/a.json", b"1")
    assert not folder.put_if_absent("deep/er/a.json", b"2")
    assert folder.read_json("deep/er/a.json") == 1
    folder.put("deep/er/a.json", b"3")
    assert folder.read_json("deep/er/a.json") == 3
    folder.put("b.json", b"4")
    assert folder.read_json("b.json") == 4


def test_of_many_threads_one_puts_first(folder: Folder) -> None:
    start = threading.Barrier(8)

    def contend(who: int) -> bool:
        start.wait()
        return folder.put_if_absent("a.json", as_json({"who": who}))

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(contend, range(8)))
        assert won.count(True) == 1
        assert folder.read_json("a.json") == {"who": won.index(True)}
        folder.delete()


@pytest.mark.slow
def test_of_several_processes_one_puts_first(tmp_path: Path) -> None:
    program = (
        "import sys; from recsae.store.filesystem import Folder\n"
        "folder = Folder(sys.argv[1]); who = sys.argv[2].encode()\n"
        "print('ready', flush=True); input()\n"
        "print(*[key for key in range(200) if folder.put_if_absent(f'{key}.json', who)])"
    )
    repository = Path(__file__).parents[2]
    contenders = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(who)],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(3)
    ]
    for contender in contenders:
        assert contender.stdout and contender.stdout.readline() == "ready\n"
    for contender in contenders:
        assert contender.stdin
        contender.stdin.write("go\n")
        contender.stdin.flush()
    won = [[int(key) for key in contender.communicate(timeout=60)[0].split()] for contender in contenders]
    assert sorted(key for keys in won for key in keys) == list(range(200))
    for who, keys in enumerate(won):
        assert all(Folder(str(tmp_path)).read_json(f"{key}.json") == who for key in keys)


@pytest.mark.slow
def test_a_reader_sees_one_put_or_the_other_whole_and_no_file_in_the_making(folder: Folder) -> None:
    """A listing that showed obstore's staged file would break every reader of the lease, and after a kill for good."""
    folder.put("a.json", as_json(["x"] * 1000))
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            folder.put("a.json", as_json([str(number % 10)] * 1000))
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set() and not writing.done():
            value = folder.read_json("a.json")
            assert value is not None and len(value) == 1000 and len(set(value)) == 1
            assert folder.list() == ["a.json"]
        writing.result()


def test_what_a_killed_put_left_is_not_listed(folder: Folder) -> None:
    folder.put("rows/0.parquet", b"whole")
    Path(folder.path, "rows/1.parquet#1").write_bytes(b"ha")
    assert folder.list("rows") == ["rows/0.parquet"]


def test_list_names_files_below_a_prefix_sorted_and_no_folders(folder: Folder) -> None:
    assert folder.list() == [] and folder.list("none") == []
    for name in ("b/2", "b/1", "a", "b/c/3", "bb/4"):
        folder.put(name, b"")
    Path(folder.path, "empty").mkdir()
    assert folder.list() == ["a", "b/1", "b/2", "b/c/3", "bb/4"]
    assert folder.list("b") == ["b/1", "b/2", "b/c/3"]


def test_read_json_of_what_is_not_there_is_none_also_below_a_file(folder: Folder) -> None:
    assert folder.read_json("none.json") is None
    folder.put("file", b"x")
    assert folder.read_json("file/none.json") is None


def test_tables_and_streams_round_trip_also_by_column(folder: Folder) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    folder.write_table("deep/t.parquet", table)
    assert folder.read_table("deep/t.parquet").equals(table)
    assert folder.read_table("deep/t.parquet", ["b"]).column_names == ["b"]
    assert folder.read_table("deep/t.parquet", ["b"], pc.field("a") > 1).to_pylist() == [{"b": "y"}]
    with folder.open_output("new/file.bin") as sink:
        sink.write(b"bytes")
    with folder.open_input("new/file.bin") as source:
        assert source.read() == b"bytes"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", NAMES)
def test_both_ways_to_write_meet_in_the_folder_that_was_named(tmp_path: Path, name: str, spelling: str) -> None:
    place = tmp_path / name
    folder = Folder(SPELLINGS[spelling](place)).child("run", "stage")
    folder.put("put.json", b"1")
    with folder.open_output("stream") as sink:
        sink.write(b"2")
    assert sorted(path.name for path in (place / "run/stage").iterdir()) == ["put.json", "stream"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert folder.list() == ["put.json", "stream"] and folder.read_json("put.json") == 1


def test_a_child_of_a_uri_keeps_its_query() -> None:
    folder = Folder("s3://bucket/root/?region=eu-north-1&scheme=http").child("a", "b")
    assert folder.uri == "s3://bucket/root/a/b?region=eu-north-1&scheme=http"


def test_both_libraries_get_the_same_bucket_and_keys() -> None:
    folder = Folder("s3://me:se%2Fcr%2Bet@bucket/root?endpoint_override=localhost:9000&scheme=http&region=eu-north-1")
    store = _object_store(folder.uri)
    assert folder.path == f"{store.config['bucket']}/{store.prefix}" == "bucket/root"
    assert "se/cr+et" not in str(store.config) and "access_key_id" not in store.config
    assert store.config["endpoint"] == "http://localhost:9000" and store.config["region"] == "eu-north-1"


@pytest.mark.parametrize("uri", ["nowhere://bucket/x", "file:///two words", "s3://bucket/x?regoin=eu"])
def test_a_uri_that_cannot_be_read_is_bad_input(uri: str) -> None:
    with pytest.raises(BadInput, match=r"store\.root = "):
        assert Folder(uri).path


def test_json_is_canonical_and_keeps_text() -> None:
    assert as_json({"b": 1, "a": "ü"}) == as_json({"a": "ü", "b": 1})
    assert "ü" in as_json("ü").decode()


def test_figures_that_are_no_numbers_are_null() -> None:
    assert finite({"a": [float("nan"), 1.0], 2: (float("inf"),)}) == {"a": [None, 1.0], "2": [None]}
