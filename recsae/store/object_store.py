"""Object stores: one parser of URIs for both libraries, and how long they retry when a store does not respond.

pyarrow provides streams, obstore conditional puts.
"""

from __future__ import annotations

import functools
import io
import math
import os
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import pyarrow as pa
import pyarrow.fs as pafs
from obstore.store import GCSStore, S3Store, from_url
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from recsae.text.redaction import redact_uri

PATIENCE_S = 60.0
"""How long a request is retried before the store counts as unreachable."""
_AWS_FIRST_WAIT_S = 0.05
"""The first wait of the SDK behind pyarrow; each further one is twice as long."""
_SETTINGS = {"s3": ("region", "scheme", "endpoint_override"), "gs": ("scheme", "endpoint_override")}
_AHEAD = 256 * 1024  # bytes
_CONNECT_S = 5.0


class _Place(NamedTuple):
    root: str
    """The URI of the bucket."""
    scheme: str
    authority: str
    """The bucket, preceded by a user where the URI has one."""
    bucket: str
    key: str
    user: tuple[str, str] | None
    """Access key and secret, where the URI has them."""
    settings: dict[str, str]

    @property
    def endpoint(self) -> tuple[str, str] | None:
        """Protocol and host of a store other than Amazon's or Google's own."""
        url = self.settings.get("endpoint_override") or ""
        if not url and self.scheme == "s3":
            url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        protocol, there, host = url.rpartition("://")
        return ((protocol if there else self.settings.get("scheme", "https")), host.rstrip("/")) if host else None

    @property
    def region(self) -> str:
        given = self.settings.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if given:
            return given
        return "us-east-1" if self.endpoint else str(pafs.resolve_s3_region(self.bucket))


class _Reader(io.RawIOBase):
    """A pyarrow file that retries reads which fail because the store's error message is longer than the piece read.

    pyarrow gives the SDK a buffer of the piece's size; an error message that does not fit in there counts as an
    internal failure, which the SDK does not retry. Small pieces are read ahead, which also saves requests.
    """

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, into: Any) -> int:
        start = self.tell()

        def rewind(_: RetryCallState) -> None:
            self.seek(start)

        piece = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, OSError) and "INTERNAL_FAILURE" in str(error)),
            wait=wait_exponential(multiplier=_AWS_FIRST_WAIT_S, max=5.0),
            stop=stop_after_delay(PATIENCE_S),
            before_sleep=rewind,
            reraise=True,
        )(self._file.read, len(into))
        into[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


class _S3(pafs.S3FileSystem):  # type: ignore[misc]
    """pyarrow's S3 filesystem loses its retry strategy when it is pickled, as Ray Train does; this one reopens
    instead."""

    def __init__(self, uri: str) -> None:
        place = _parsed(uri)
        options: dict[str, Any] = {}
        if place.user:
            options["access_key"], options["secret_key"] = place.user
        if place.endpoint:
            options["scheme"], options["endpoint_override"] = place.endpoint
        self._uri = uri
        super().__init__(
            region=place.region,
            connect_timeout=_CONNECT_S,
            retry_strategy=pafs.AwsDefaultS3RetryStrategy(max_attempts=_attempts()),
            **options,
        )

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(io.BufferedReader(_Reader(super().open_input_file(path)), _AHEAD), mode="r")

    def __reduce__(self) -> tuple[Any, ...]:
        return _S3, (self._uri,)


def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """pyarrow's filesystem of a URI, and the path in it. Raises ValueError on a malformed URI."""
    scheme = uri.partition("://")[0]
    if scheme not in _SETTINGS:
        filesystem, path = pafs.FileSystem.from_uri(uri)
        return filesystem, path
    place = _parsed(uri)
    return _bucket_filesystem(place.root), f"{place.bucket}/{place.key}".rstrip("/")


@functools.lru_cache(maxsize=16)
def _bucket_filesystem(uri: str) -> pafs.FileSystem:
    """One filesystem for all folders of a bucket, since each has its own connections."""
    place = _parsed(uri)
    if place.scheme == "s3":
        return _S3(uri)
    options: dict[str, Any] = {}
    if place.endpoint:
        options["scheme"], options["endpoint_override"] = place.endpoint
    anonymous = place.user is not None  # gs://anonymous@bucket, as pyarrow spells it
    return pafs.GcsFileSystem(anonymous=anonymous, retry_time_limit=timedelta(seconds=PATIENCE_S), **options)


def open_store(uri: str) -> Any:
    """obstore's store of the folder at a URI."""
    scheme = uri.partition("://")[0]
    if scheme not in _SETTINGS:
        return from_url(uri)
    place = _parsed(uri)
    options: dict[str, Any] = {"prefix": place.key, "retry_config": _retries()}
    if place.endpoint:
        protocol, host = place.endpoint
        options["endpoint" if scheme == "s3" else "base_url"] = f"{protocol}://{host}"
        options["client_options"] = {"allow_http": protocol == "http"}
    if scheme == "gs":
        return GCSStore(place.bucket, skip_signature=place.user is not None, **options)
    if place.user:
        key, secret = place.user
        # As settings they would be combined with the session token of another key in the environment.
        options["credential_provider"] = lambda: {"access_key_id": key, "secret_access_key": secret, "expires_at": None}
    return S3Store(place.bucket, region=place.region, **options)


def signed(uri: str, root: str) -> str:
    """`uri` with the credentials of `root` where both have the same bucket and settings; else unchanged."""
    if uri.partition("://")[0] not in _SETTINGS or root.partition("://")[0] not in _SETTINGS:
        return uri
    mine, its = _parsed(root), _parsed(uri)
    if its.root != redact_uri(mine.root):
        return uri
    return uri.replace(f"://{its.authority}", f"://{mine.authority}", 1)


def _parsed(uri: str) -> _Place:
    scheme, _, rest = uri.partition("://")
    rest, _, query = rest.partition("?")
    authority, _, key = rest.partition("/")
    user, at, bucket = authority.rpartition("@")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    known = _SETTINGS[scheme]
    for name in settings:
        if name not in known:
            raise ValueError(f"no setting is called {name}; there are {', '.join(known)}")
    key = unquote(key).strip("/")
    if not bucket or ":" in bucket or not uri.isprintable() or {"", ".", ".."} & set(key.split("/") if key else ()):
        raise ValueError(f"write it as {scheme}://bucket/folder; in a user or password write / as %2F")
    name, _, secret = user.partition(":")
    root = f"{scheme}://{authority}" + (f"?{query}" if query else "")
    return _Place(root, scheme, authority, bucket, key, (unquote(name), unquote(secret)) if at else None, settings)


def _attempts() -> int:
    """The number of attempts whose doubling waits add up to `PATIENCE_S`."""
    return max(2, round(math.log2(PATIENCE_S / _AWS_FIRST_WAIT_S + 1)) + 1)


def _retries() -> dict[str, Any]:
    # obstore draws each wait between the first and `base` times the last: with 2 they would hardly grow
    waits = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=10), "base": 3}
    return {"max_retries": 100, "retry_timeout": timedelta(seconds=PATIENCE_S), "backoff": waits}
