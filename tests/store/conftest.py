"""An S3 server for all tests of this folder, a proxy before it that can fail, and the credentials of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed, RunStore
from tests.store.s3_server import KEY, SECRET, Proxy, Server, uri


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.endpoint)
    yield proxy
    proxy.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A place in the bucket for this test alone."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def folder(server: Server, name: str) -> Folder:
    return Folder(uri(server.endpoint, name))


def store_of(endpoint: str, name: str) -> RunStore:
    return RunStore(uri(endpoint, name), "run")


def committed(store: RunStore, content: bytes, fingerprint: str = "f") -> Committed:
    attempt = store.attempt("stage", fingerprint, store.lease("stage", fingerprint, 20))
    attempt.data.put("data.json", content)
    return store.commit("stage", attempt, {"metrics": {}})
