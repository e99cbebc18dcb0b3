"""What is shown of a URI or a text: where it is, and nothing that lets anybody in."""

from __future__ import annotations

import pytest

from recsae.text.redaction import redact_secrets, redact_uri


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("runs", "runs"),
        ("/data/a@b/runs?x", "/data/a@b/runs?x"),
        ("s3://bucket/recsae", "s3://bucket/recsae"),
        ("s3://AKIA:hunter22@bucket/recsae", "s3://bucket/recsae"),
        ("s3://AKIA:hunt%2Fer22@bucket/recsae", "s3://bucket/recsae"),
        ("s3://AKIA:hunt/er22@bucket/recsae", "s3://bucket/recsae"),
        ("s3://AKIA:hunt@er22@bucket/recsae", "s3://bucket/recsae"),
        ("s3://token@bucket", "s3://bucket"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("http://host:8080/v1/a@b", "http://host:8080/v1/a@b"),
        (
            "s3://k:hunter22@bucket/x?region=eu&scheme=http&endpoint_override=127.0.0.1:9000&secret_key=hunter22",
            "s3://bucket/x?region=eu&scheme=http&endpoint_override=127.0.0.1:9000",
        ),
        ("https://host/x?X-Amz-Signature=hunter22", "https://host/x"),
        ("https://host/x?endpoint_override=k:hunter22@h", "https://host/x"),
        ("https://host/x#hunter22", "https://host/x"),
        ("s3://k:hunt'er22@bucket/my runs?secret_key=hunter22", "s3://bucket/my runs?secret_key=***"),
        (
            "s3://bucket/x?endpoint_override=http%3A%2F%2Fhost%3A9",
            "s3://bucket/x?endpoint_override=http%3A%2F%2Fhost%3A9",
        ),
        (
            "store.root = s3://k:hunter22@b/x: gone (http://h?k=hunter22); mend it",
            "store.root = s3://b/x: gone (http://h); mend it",
        ),
    ],
)
def test_a_uri_is_shown_without_credentials(uri: str, said: str) -> None:
    assert redact_uri(uri) == said
    assert "hunter22" not in redact_uri(uri)


@pytest.mark.parametrize(
    "text",
    [
        "cannot read s3://AKIA:hunter22@bucket/x?region=eu: gone",
        "folder 's3://k:hunter22@bucket'; root=http://hunter22@host/",
        "secret_access_key=hunter22, region=eu",
        '{"AWS_SECRET_ACCESS_KEY": "hunter22"}',
        "api-key: hunter22",
        "Authorization: Bearer hunter22",
        "the key hunter22 is wrong",
    ],
)
def test_no_text_carries_a_secret(text: str) -> None:
    told = redact_secrets(text, {"RECSAE_ENDPOINT_KEY": "hunter22"})
    assert "hunter22" not in told
    assert told[:3] == text[:3] and len(told) > 8


def test_long_text_takes_no_time_that_grows_with_its_square() -> None:
    for text in ("a" * 200_000, "a-" * 60_000, "://" * 20_000, "x://y:" * 5_000):
        assert redact_secrets(text, {})


def test_an_access_key_of_aws_is_known_by_its_form() -> None:
    assert redact_secrets("used AKIAABCDEFGHIJKLMNOP here", {}) == "used *** here"


@pytest.mark.parametrize(
    "text",
    [
        "labels: 12 of 128 latents, 40 likelihoods to ask",
        "ingest: users: 610, tokens: 388,000 in 12.5 s",
        "scores: done (753c7f870320663dd595), s3://bucket/recsae/x.parquet",
        "Monkey Key (1998): token 7",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert redact_secrets(text, {"HOME": "/root", "PATH": "labels", "RAY_TOKEN": "of"}) == text


def test_a_secret_that_begins_like_another_is_hidden_whole() -> None:
    assert redact_secrets("abcdefghij abcdef", {"A_TOKEN": "abcdef", "B_TOKEN": "abcdefghij"}) == "*** ***"
