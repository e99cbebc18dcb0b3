"""The store on S3: whole puts, races, commits, publishing, outside files, and names that would lead elsewhere.

The server is a real one, on loopback.
"""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from recsae.errors import BadInput
from recsae.store import shards
from recsae.store.atomic_output import atomic_parquet_writer, resolve_output
from recsae.store.filesystem import Folder, as_json, file_at
from recsae.store.nights import Night
from recsae.store.object_store_errors import store_failure
from recsae.store.progress import Lease
from recsae.store.run_store import Committed, RunStore
from tests.store.conftest import store_of
from tests.store.s3_server import BUCKET, Proxy, Server, uri
from tests.store.test_filesystem import NAMES

TABLE = pa.table({"a": [1, 2, 3]})


def test_files_are_put_found_replaced_and_deleted(folder: Folder, server: Server, name: str) -> None:
    assert folder.list() == [] and folder.read_json("deep/a.json") is None
    assert folder.put_if_absent("deep/a.json", b"1") and not folder.put_if_absent("deep/a.json", b"2")
    folder.put("b.json", b"3")
    folder.put("b.json", b"4")
    with folder.open_output("deep/stream") as sink:
        sink.write(b"bytes")
    folder.write_table("t.parquet", TABLE)
    assert (
        folder.list()
        == ["b.json", "deep/a.json", "deep/stream", "t.parquet"]
        == [key.removeprefix(f"{name}/") for key in server.held(name)]
    )
    assert folder.list("deep") == ["deep/a.json", "deep/stream"]
    assert (folder.read_json("deep/a.json"), folder.read_json("b.json")) == (1, 4)
    assert folder.read_table("t.parquet").equals(TABLE)
    folder.child("deep").delete()
    assert folder.list() == ["b.json", "t.parquet"]


@pytest.mark.parametrize("odd", NAMES)
def test_both_libraries_write_where_the_uri_says(server: Server, name: str, odd: str) -> None:
    spelled = "".join(letter if letter not in "%?" else f"%{ord(letter):02X}" for letter in odd)
    folder = Folder(uri(server.endpoint, f"{name}/{spelled}")).child("run")
    folder.put("put.json", b"1")
    with folder.open_output("stream") as sink:
        sink.write(b"2")
    assert server.held(name) == [f"{name}/{odd}/run/put.json", f"{name}/{odd}/run/stream"]
    assert folder.read_json("put.json") == 1 and folder.list() == ["put.json", "stream"]


def test_no_bucket_is_made_by_accident(server: Server) -> None:
    store = RunStore(uri(server.endpoint, "root", bucket="nobody-made-it"), "run")
    with pytest.raises(BadInput, match=r"store\.root: .* cannot be written"):
        store.check_writable()
    with pytest.raises(OSError, match="NO_SUCH_BUCKET") as told:
        store.folder.write_table("t.parquet", TABLE)
    assert "mend" in str(store_failure(told.value))
    with pytest.raises(BadInput, match="--to"):
        resolve_output("--to", uri(server.endpoint, "a.parquet", bucket="nobody-made-it"))
    assert [bucket["Name"] for bucket in server.client.list_buckets()["Buckets"]] == [BUCKET]


@pytest.mark.slow
def test_of_many_writers_one_is_first_and_all_agree(server: Server, name: str) -> None:
    start = threading.Barrier(6)

    def contend(who: int) -> tuple[int, str]:
        store = store_of(server.endpoint, name)
        attempt = store.attempt("stage", "f", store.lease("stage", "f", 20))
        attempt.data.put("data.json", as_json(who))
        start.wait()
        return who, store.commit("stage", attempt, {"metrics": {}}).data.read_json("data.json")

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(contend, range(6)))
    winner = found[0][1]
    assert {what for _, what in found} == {winner} and winner in range(6)
    data = [key for key in server.held(name) if key.endswith("data.json")]
    assert len(data) == 1 and json.loads(server.content(data[0])) == winner


def test_one_contender_gets_the_lease(folder: Folder) -> None:
    leases, start = [Lease(folder, 60) for _ in range(6)], threading.Barrier(6)

    def contend(lease: Lease) -> bool:
        start.wait()
        return lease.try_acquire()

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(contend, leases))
    assert won.count(True) == 1 == sum(lease.held() for lease in leases)
    leases[won.index(True)].release()
    assert leases[won.index(False)].try_acquire()


@pytest.mark.slow
def test_a_reader_of_current_sees_one_night_or_the_other(server: Server, name: str) -> None:
    store, done = store_of(server.endpoint, name), threading.Event()
    store.nights.close(Night({"concepts": "0"}, "dictionary-0", "report-0"))

    def publish() -> None:
        for number in range(1, 20):
            store.nights.close(Night({"concepts": f"{number}"}, f"dictionary-{number}", f"report-{number}"))
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(publish)
        while not done.is_set() and not writing.done():
            seen = store.current()
            assert seen is not None
            number = seen["fingerprints"]["concepts"]
            assert (seen["dictionary"], seen["report"]) == (f"dictionary-{number}", f"report-{number}")
        writing.result()
    assert len(store.folder.list("nights")) == 20


def test_current_is_read_whole_though_it_is_replaced_meanwhile(proxy: Proxy, server: Server, name: str) -> None:
    store = store_of(proxy.endpoint, name)
    store.nights.close(Night({"concepts": "1"}, "dictionary", "report"))
    tonight = {"fingerprints": {"concepts": "2"}, "dictionary": "a longer name of a dictionary", "report": "report"}

    def replace(method: str, path: str) -> None:
        if method == "GET":  # the last moment at which a request for the content may find another than was announced
            server.client.put_object(Bucket=BUCKET, Key=f"{name}/run/current.json", Body=as_json(tonight))

    proxy.fault = replace
    assert store.current() == tonight


def test_a_shard_and_a_table_are_read_by_piece(folder: Folder) -> None:
    wide = pa.table({"a": range(200_000), "b": [float(number % 997) for number in range(200_000)]})
    folder.write_table("wide.parquet", wide)
    assert folder.read_table("wide.parquet", ["b"]).equals(wide.select(["b"]))
    shards.write(folder, "s.arrow", wide, wide.schema)
    assert shards.read(folder, "s.arrow").equals(wide)


def break_off(folder: Folder, name: str) -> None:
    """Some pieces of an upload are there already when the table after them does not fit."""
    noise = pa.table({"b": [os.urandom(20_000_000)]})
    with atomic_parquet_writer(folder, name, noise.schema) as out:
        out.write_table(noise)
        out.write_table(TABLE)


@pytest.mark.parametrize("odd", ["a.parquet", "two%20words.parquet", "ümläut.parquet"])
def test_an_outside_file_appears_whole_or_not_at_all(server: Server, name: str, odd: str) -> None:
    target = uri(server.endpoint, f"{name}/{odd}")
    folder, file = resolve_output("--to", target)
    assert server.held(f"{name}/{file}") == []
    with atomic_parquet_writer(folder, file, TABLE.schema) as out:
        out.write_table(TABLE)
        assert server.held(f"{name}/{file}") == []
    with pytest.raises(ValueError, match="schema does not match"):
        break_off(folder, file)
    found, held = file_at(target)
    assert found.read_table(held).equals(TABLE) and not server.uploads()
    assert [key for key in server.held(name) if not key.endswith("/")] == [f"{name}/{file}"]


def test_a_folder_is_no_outside_file(server: Server, folder: Folder, name: str) -> None:
    folder.put("a/b", b"")
    for target in (f"{name}/a", f"{name}/a/"):
        with pytest.raises(BadInput, match="is a folder"):
            resolve_output("--to", uri(server.endpoint, target))


@pytest.mark.parametrize("hostile", ["../x", "a/../../x", "/etc/x", "..", "a\0b"])
def test_no_name_leads_out_of_a_folder(folder: Folder, tmp_path: Path, hostile: str) -> None:
    for place in (folder, Folder(str(tmp_path / "store"))):
        for call in (place.locate, place.child, place.open_input, place.open_output, place.read_json):
            with pytest.raises(BadInput, match="no name of a file in there"):
                call(hostile)
        for put in (place.put, place.put_if_absent):
            with pytest.raises(BadInput, match="no name of a file in there"):
                put(hostile, b"")
        with pytest.raises(BadInput, match="no name of a file in there"):
            place.list(hostile)


def test_a_manifest_that_points_elsewhere_is_not_followed(folder: Folder) -> None:
    folder.put("secret.json", b"1")
    for attempt, file in (("../..", "secret.json"), ("attempt-1", "../../secret.json")):
        found = Committed(folder.child("stage", "f"), {"attempt": attempt, "files": [{"name": file}]})
        with pytest.raises(BadInput, match="no name of a file in there"):
            found.read_table(found.files()[0])


def test_retention_deletes_old_nights_and_what_only_they_need(server: Server, name: str) -> None:
    store = store_of(server.endpoint, name)
    for number in range(3):
        folder = store.folder.child("concepts", f"f{number}")
        folder.put("attempt-1/table.parquet", b"rows")
        folder.put("_manifest.json", b"{}")
        store.nights.close(Night({"concepts": f"f{number}", "ingest": "never made"}, "d", "r"))
    assert store.nights.retire(1) == 2
    assert store.folder.list("concepts") == ["concepts/f2/_manifest.json", "concepts/f2/attempt-1/table.parquet"]
    assert [night["number"] for night in store.nights.all()] == [3] and store.nights.retire(1) == 0
