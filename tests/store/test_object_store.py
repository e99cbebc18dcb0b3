"""URIs of object stores, their credentials, and a store that fails for a while or for good, behind a proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from ray import cloudpickle

from recsae.cli.command import ending
from recsae.cli.render.dictionary import print_dictionary
from recsae.config.schema import Config
from recsae.data.formats import input_content
from recsae.data.sources import source_from_path
from recsae.data.stage import ingest
from recsae.errors import BadInput
from recsae.pipeline.runner import Pipeline
from recsae.store import filesystem as folders
from recsae.store import object_store
from recsae.store.atomic_output import resolve_output
from recsae.store.filesystem import Folder, file_at
from recsae.store.nights import Night
from recsae.store.run_store import RunStore
from tests.conftest import Commit
from tests.store.conftest import committed, store_of
from tests.store.s3_server import BUCKET, KEY, REGION, SECRET, Fault, Proxy, Server, secret_uri, uri

FAULTS: list[Fault] = ["503", "reset", "lost"]
TABLE = pa.table({"a": [1, 2, 3]})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store counts as away after a second."""
    caches = (folders._resolve, folders._object_store, object_store._bucket_filesystem)
    monkeypatch.setattr(object_store, "PATIENCE_S", 1.0)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_for_a_while_is_ridden_out(proxy: Proxy, name: str, fault: Fault) -> None:
    """Each kind of request fails twice on end, in each library, and nothing is done twice."""
    store = store_of(proxy.endpoint, name)
    folder = store.folder
    folder.put("a.json", b"1")
    steps: list[Callable[[], object]] = [
        lambda: folder.put("a.json", b"2"),
        lambda: folder.read_json("a.json") == 2 or pytest.fail("not what was put"),
        lambda: folder.put_if_absent("first.json", b"mine") or pytest.fail("it was the first"),
        lambda: folder.put_if_absent("first.json", b"yours") and pytest.fail("it was the second"),
        lambda: folder.list() == ["a.json", "first.json"] or pytest.fail("not what is there"),
        lambda: folder.write_table("t.parquet", TABLE),
        lambda: folder.read_table("t.parquet").equals(TABLE) or pytest.fail("not what was written"),
        lambda: committed(store, b"3").data.read_json("data.json") == 3 or pytest.fail("not what was committed"),
        lambda: folder.child("stage").delete(),
    ]
    for step in steps:
        with proxy.failing(fault, first=2):
            step()
    assert folder.list() == ["a.json", "first.json", "t.parquet"]
    assert all(proxy.failed[method] >= 2 for method in ("GET", "PUT", "HEAD", "POST")), proxy.failed


def test_an_answer_that_breaks_off_is_read_again(proxy: Proxy, name: str) -> None:
    folder, content = Folder(uri(proxy.endpoint, name)), bytes(range(256)) * 10_000
    folder.put("long", content)
    with proxy.failing("cut", first=2, method="GET"), folder.open_input("long") as source:
        assert source.read() == content
    assert proxy.failed["GET"] == 2


def test_the_filesystem_that_a_worker_unpickles_is_as_patient(proxy: Proxy, name: str) -> None:
    folder = Folder(uri(proxy.endpoint, name))
    folder.put("a", b"1")
    other = cloudpickle.loads(cloudpickle.dumps(folder.filesystem))
    with proxy.failing("503", first=6):
        assert other.get_file_info(folder.locate("a")).size == 1
    assert proxy.failed["HEAD"] == 6


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", ["503", "reset"])
def test_a_store_that_stays_away_ends_in_one_sentence(
    proxy: Proxy, server: Server, name: str, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(proxy.endpoint, name)
    current = store.nights.close(Night({"concepts": "f"}, "dictionary", "report"))
    steps: list[Callable[[], object]] = [
        lambda: committed(store, b"1"),
        store.current,
        lambda: store.folder.list(),
        lambda: store.folder.write_table("t.parquet", TABLE),
        lambda: store.folder.put_if_absent("x", b""),
        lambda: store.nights.close(Night({"concepts": "g"}, "another", "another")),
    ]
    for step in steps:
        with proxy.failing(fault), pytest.raises(SystemExit) as ended, ending("nothing"):
            step()
        told = capsys.readouterr().err
        assert ended.value.code == 2 and told.count("\n") == 1 and "Traceback" not in told
        assert "does not answer" in told and "what is committed and served stays" in told
    assert store_of(server.endpoint, name).current() == current
    with proxy.failing(fault), pytest.raises(BadInput, match=r"store\.root: .* cannot be written"):
        store.check_writable()


def test_both_libraries_wait_about_a_minute() -> None:
    waits = [0.0] + [object_store._AWS_FIRST_WAIT_S * 2**number for number in range(object_store._attempts() - 1)]
    assert 45 <= sum(waits) <= 75
    assert object_store._retries()["retry_timeout"].total_seconds() == object_store.PATIENCE_S == 60


def test_credentials_in_a_uri_work_and_stay_there(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    root = secret_uri(server.endpoint, name)
    store = RunStore(root, "run")
    found = committed(store, b"1")
    with found.folder.open_output("concepts.parquet") as sink:
        pq.write_table(TABLE, sink)
    assert SECRET not in repr(found) and "%2F" not in repr(found) and KEY not in repr(found)
    with pytest.raises(BadInput) as told:
        resolve_output("--to", f"{root.partition('?')[0]}/x?regoin=eu")
    assert KEY not in str(told.value) and "--to s3://bucket/" in str(told.value)
    public = uri(server.endpoint, f"{name}/run/stage/f/concepts.parquet")
    signed = object_store.signed(public, root)
    assert signed.startswith(f"s3://{KEY}:") and file_at(signed)[0].read_table("concepts.parquet").equals(TABLE)
    assert object_store.signed(public.replace(BUCKET, "another"), root) == public.replace(BUCKET, "another")
    assert object_store.signed(public.replace("scheme=http&", ""), root) == public.replace("scheme=http&", "")
    with pytest.raises(pa.ArrowInvalid):  # it gets as far as the columns that are not there
        print_dictionary({"dictionary": public, "report": ""}, root)
    assert KEY not in capsys.readouterr().out
    assert all(KEY.encode() not in server.content(key) for key in server.held(name))


def test_a_key_in_a_uri_comes_without_the_token_of_another(
    proxy: Proxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    for of, signed in ((secret_uri, (KEY, None)), (uri, ("another", "token"))):
        folder = Folder(of(proxy.endpoint, name))
        proxy.signed.clear()
        folder.put("a.json", b"1")
        assert folder.read_json("a.json") == 1 and folder.list() == ["a.json"]
        assert proxy.signed == {signed}


def test_inputs_are_read_and_known_by_their_tag(
    server: Server, name: str, commit: Commit, planted_config: Config
) -> None:
    """Events by DuckDB, items by Python, both as Parquet; the same tables come of it as from the local files."""
    data = planted_config.data
    for path in (*data.interactions, *data.items):
        server.client.upload_file(path, BUCKET, f"{name}/{Path(path).name}")
    names = {key: [f"{name}/{Path(path).name}" for path in getattr(data, key)] for key in ("interactions", "items")}
    there = {key: tuple(secret_uri(server.endpoint, file) for file in files) for key, files in names.items()}
    remote_config = planted_config.model_copy(update={"data": data.model_copy(update=there)})
    content = input_content(remote_config)
    assert all(tag.startswith("etag ") for tag in content.values()) and KEY not in str(content)
    ours, theirs = (commit("ingest", lambda out, config=config: ingest(config, {}, out)) for config in
                    (planted_config, remote_config))  # fmt: skip
    assert ours.files() == theirs.files()
    for file in ours.files():
        assert ours.read_table(file).equals(theirs.read_table(file)), file
    server.client.put_object(Bucket=BUCKET, Key=names["items"][0], Body=b"other")
    assert input_content(remote_config) != content


def test_text_and_gzip_inputs_are_read(server: Server, name: str) -> None:
    import gzip

    text = b"user_id,item_id\nu,i\n"
    for file, content in (("a b.csv", text), ("c.csv.gz", gzip.compress(text))):
        server.client.put_object(Bucket=BUCKET, Key=f"{name}/{file}", Body=content)
        source = source_from_path("data.items", uri(server.endpoint, f"{name}/{file.replace(' ', '%20')}"))
        assert source.exists() and source.columns() == ["user_id", "item_id"]
        assert list(source.rows([])) == [(1, {"user_id": "u", "item_id": "i"})]


def test_a_fingerprint_and_a_manifest_know_no_credentials(server: Server, name: str, planted_config: Config) -> None:
    def of(root: str) -> Pipeline:
        paths = tuple(root.replace(name, f"{name}/{Path(path).name}") for path in planted_config.data.interactions)
        data = planted_config.data.model_copy(update={"interactions": paths, "items": (), "attributes": {}})
        store = planted_config.store.model_copy(update={"root": root})
        return Pipeline(planted_config.model_copy(update={"data": data, "store": store}))

    for path in planted_config.data.interactions:
        server.client.upload_file(path, BUCKET, f"{name}/{Path(path).name}")
    plain, secret = of(uri(server.endpoint, name)), of(secret_uri(server.endpoint, name))
    assert plain.fingerprint("ingest") == secret.fingerprint("ingest")
    found = secret.run("ingest")
    assert plain.committed("ingest") is not None and found.metrics["users"] == 120
    assert all(KEY.encode() not in server.content(key) for key in server.held(name))


@pytest.mark.parametrize(
    "odd",
    ["s3://", "s3:///x", "s3://bucket/a/../b", "s3://bucket/a//b", "s3://key:se/cret@bucket/x", "s3://bucket/x?a=b"],
)
def test_a_uri_that_means_nothing_is_refused(odd: str) -> None:
    with pytest.raises(BadInput, match=r"store\.root = ") as told:
        assert Folder(odd).path
    assert "cret" not in str(told.value)


def test_region_and_endpoint_may_come_from_the_environment(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server.endpoint}")
    monkeypatch.setenv("AWS_REGION", REGION)
    object_store._bucket_filesystem.cache_clear()
    folder = Folder(f"s3://{BUCKET}/{name}")
    folder.put("a.json", b"1")
    folder.write_table("t.parquet", TABLE)
    assert folder.read_json("a.json") == 1 and server.held(name) == [f"{name}/a.json", f"{name}/t.parquet"]
    object_store._bucket_filesystem.cache_clear()


def test_google_cloud_storage_gets_the_same_bucket_and_key() -> None:
    """What can be told without a server: none that installs here answers pyarrow's and obstore's requests both."""
    there = "gs://anonymous@bucket/a%20b/c?scheme=http&endpoint_override=127.0.0.1:9"
    filesystem, path = object_store.open_filesystem(there)
    store = object_store.open_store(there)
    assert isinstance(filesystem, pafs.GcsFileSystem) and path == "bucket/a b/c" == f"bucket/{store.prefix}"
    assert store.config["base_url"] == "http://127.0.0.1:9"
