"""An S3 server on loopback, and a proxy before it that fails on demand. They know HTTP, and nothing of stores."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import quote

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
REGION = "eu-north-1"
KEY, SECRET = "AKIAEXAMPLE", "se/cr+et"
Fault = Literal["503", "reset", "lost", "cut"]
"""Answers 503; hangs up before the request is passed on; after it; in the middle of the answer."""


_AWAY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_OF_ONE_HOP = ("transfer-encoding", "connection", "content-length", "expect")


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for its head to be acknowledged

    def log(self, *_: object) -> None: ...


class Server:
    """A bucket under `endpoint` (`host:port`)."""

    def __init__(self) -> None:
        app, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

        def one_at_a_time(environ: Any, start: Any) -> Any:
            """A store decides who is first; the server behind looks and then puts."""
            with lock:
                return app(environ, start)

        self._server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=_Quiet)
        self.endpoint = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://{self.endpoint}",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )
        self.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def held(self, prefix: str = "") -> list[str]:
        """Sorted, as the server has them."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def content(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def uploads(self) -> list[Any]:
        """Begun and never completed."""
        return list(self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Proxy:
    """Passes requests on to a server, and fails those for which `fault(method, path)` names a fault."""

    def __init__(self, target: str) -> None:
        self.fault: Callable[[str, str], Fault | None] = lambda method, path: None
        self.requests: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.signed: set[tuple[str, str | None]] = set()
        """Access keys and session tokens that requests came with."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def log_message(self, *_: object) -> None: ...

            def _pass(self) -> None:
                body = self._body()
                proxy.requests[self.command] += 1
                key = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
                proxy.signed.add((key, self.headers.get("x-amz-security-token")))
                fault = proxy.fault(self.command, self.path)
                proxy.failed[self.command] += fault is not None
                if fault == "503":
                    return self._answer(503, {"Content-Type": "application/xml"}, _AWAY)
                if fault == "reset":
                    return self._hang_up()
                onward = http.client.HTTPConnection(target, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
                onward.request(self.command, self.path, body, headers)
                answer = onward.getresponse()
                content, headers = answer.read(), dict(answer.getheaders())
                onward.close()
                if fault == "lost":
                    return self._hang_up()
                return self._answer(answer.status, headers, content, half=fault == "cut")

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                pieces = []
                while length := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(length))
                    self.rfile.readline()
                while self.rfile.readline().strip():  # trailers, of which the server makes nothing
                    pass
                return b"".join(pieces)

            def _answer(self, status: int, headers: dict[str, str], content: bytes, half: bool = False) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in (*_OF_ONE_HOP, "date", "server"):
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                if half:
                    self.wfile.write(content[: len(content) // 2])
                    return self._hang_up()
                if self.command != "HEAD":
                    self.wfile.write(content)
                return None

            def _hang_up(self) -> None:
                self.close_connection = True

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @contextlib.contextmanager
    def failing(self, fault: Fault, first: int | None = None, method: str | None = None) -> Iterator[None]:
        """Fail the first so many requests of each method, or of the one method; None: all."""
        counted: Counter[str] = Counter()

        def decide(asked: str, path: str) -> Fault | None:
            counted[asked] += 1
            return fault if method in (None, asked) and (first is None or counted[asked] <= first) else None

        before, self.fault = self.fault, decide
        try:
            yield
        finally:
            self.fault = before

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def uri(endpoint: str, folder: str, bucket: str = BUCKET) -> str:
    """The folder on that endpoint; credentials come from the environment."""
    return f"s3://{bucket}/{folder}?scheme=http&endpoint_override={endpoint}&region={REGION}"


def secret_uri(endpoint: str, folder: str) -> str:
    """The same with credentials in it."""
    return uri(endpoint, folder).replace("s3://", f"s3://{KEY}:{quote(SECRET, safe='')}@")
