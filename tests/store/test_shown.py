"""What of a URI may be seen."""

from __future__ import annotations

import pytest

from recsae.store.shown import shown


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("runs/a@b:c", "runs/a@b:c"),
        ("s3://bucket/a@b?region=eu", "s3://bucket/a@b?region=eu"),
        ("s3://KEY:pass@bucket/a?region=eu", "s3://bucket/a?region=eu"),
        ("s3://KEY@bucket/a", "s3://bucket/a"),
        ("s3://KEY:pa/ss@bucket/a", "s3://bucket/a"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("s3://b/a?access_key=K&region=eu&secret_key=S", "s3://b/a?access_key=…&region=eu&secret_key=…"),
        ("https://h/a?X-Amz-Signature=S&sig=T&design=x", "https://h/a?X-Amz-Signature=…&sig=…&design=x"),
        ("no 's3://K:p@b/x' there, nor s3://K:q@c/y.", "no 's3://b/x' there, nor s3://c/y."),
    ],
)
def test_secrets_go_and_the_rest_stays(given: str, seen: str) -> None:
    assert shown(given) == seen and shown(seen) == seen
