"""What an object store has to do with an error, as one sentence for whoever gave the command.

The libraries raise what they like, and Ray hands on a worker's errors as text; so it is read from what they say. It
knows wordings and asks nobody.
"""

from __future__ import annotations

import re

from recsae.errors import error_chain
from recsae.store.object_store import PATIENCE_S

_FROM_A_STORE = re.compile(
    r"[^\n]*(?:AWS Error |Bucket '[^'\n]*' not found|google::cloud::Status|Generic (?:S3|GCS) error|"
    r"Error performing (?:GET|PUT|HEAD|POST|DELETE) )[^\n]*"
)
_IS_AWAY = re.compile(
    r"SERVICE_UNAVAILABLE|SLOW_DOWN|NETWORK_CONNECTION|REQUEST_TIMEOUT|INTERNAL_FAILURE|THROTTLING|HTTP status 50\d|"
    r"status code: 50\d|error sending request|HTTP error|UNAVAILABLE"
)
_LONGEST = 300


def trouble(error: BaseException) -> str | None:
    """What an object store has to do with an error, as a sentence with its mend; None where that is nothing."""
    reason = _said(error)
    if reason is None:
        return None
    if _IS_AWAY.search(reason):
        return (
            f"the object store does not answer, {PATIENCE_S:g} s long ({reason}); what is committed and served stays; "
            "give the same command again when the store is back"
        )
    return f"the object store refuses ({reason}); mend the URI, its region or endpoint, or the credentials"


def is_away(error: BaseException) -> bool:
    """Whether the error says that an object store did not answer, however often it was asked."""
    reason = _said(error)
    return reason is not None and bool(_IS_AWAY.search(reason))


def _said(error: BaseException) -> str | None:
    """The last line of a chain of errors in which an object store speaks; Ray hands on a worker's as text."""
    for one in error_chain(error):
        lines = _FROM_A_STORE.findall(str(one))
        if lines:
            return str(lines[-1]).strip()[:_LONGEST]
    return None
